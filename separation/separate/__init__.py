"""The command ``separate``."""
