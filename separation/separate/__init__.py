"""``python -m separation separate``."""
