"""Faster forms of Asteroid's layers, with the same parameters and outputs."""
