"""The command ``overfit``."""
