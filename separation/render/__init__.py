"""``python -m separation render``."""
