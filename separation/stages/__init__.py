"""The stages of a recipe."""
