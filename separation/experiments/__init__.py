"""The command ``experiments``."""
