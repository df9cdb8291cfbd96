"""``python -m separation validate``."""
