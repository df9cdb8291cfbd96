"""Drawing mixture tables from a corpus table."""
