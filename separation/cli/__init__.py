"""The command line: ``python -m separation COMMAND``."""
