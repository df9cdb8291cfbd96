"""Packed audio and a model -> a checkpoint."""
