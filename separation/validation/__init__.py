"""A set of mixtures, checked."""
