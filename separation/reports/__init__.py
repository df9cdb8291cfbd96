"""Scores -> pages that people read."""
