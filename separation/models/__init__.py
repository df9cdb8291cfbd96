"""Asteroid's models: built, made faster, read from any checkpoint, published, used."""
