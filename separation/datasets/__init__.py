"""Sets of mixtures as a user names them, opened."""
