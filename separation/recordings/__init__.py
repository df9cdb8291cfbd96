"""The command ``separate``: any recording -> one signal a speaker."""
