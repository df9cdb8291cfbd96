"""Side-by-side measurements against peers; run as ``python -m benchmarks.NAME``."""
