"""Mixtures in whatever layout people keep them."""
