"""Side-by-side measurements against peers; run as ``.venv/bin/python -m benchmarks.NAME``."""
