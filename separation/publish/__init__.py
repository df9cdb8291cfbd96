"""``python -m separation publish`` and ``models``."""
