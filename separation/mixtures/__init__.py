"""A table of utterances, or lists -> mixture tables -> samples; segments for training."""
