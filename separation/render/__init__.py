"""The command ``render``."""
