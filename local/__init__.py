"""Code that knows one corpus and nothing else, as in Kaldi."""
