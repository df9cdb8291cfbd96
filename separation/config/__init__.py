"""Recipe configs: sections and loading."""
