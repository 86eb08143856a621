"""Where metrics, logs and state are kept."""
