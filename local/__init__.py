"""One corpus a file; :mod:`separation.corpora.plugin` says what a file holds and loads it."""
