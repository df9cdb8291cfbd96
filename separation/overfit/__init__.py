"""``python -m separation overfit``."""
