"""From the stores to the screens: one hub, encoded once, bounded for each client, resumable."""
