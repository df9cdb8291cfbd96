"""The commands ``publish`` and ``models``."""
