"""A page on one separated recording: how its voices came out, and what in it is hard."""
