"""Alert rules: checked, translated for the systems that evaluate them, published, and what comes of them."""
