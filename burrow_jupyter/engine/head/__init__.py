"""The head's loop around the pure scheduler core."""
