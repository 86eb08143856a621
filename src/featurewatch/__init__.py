"""See each AI feature of a product live."""
