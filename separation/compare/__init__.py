"""``python -m separation compare``."""
