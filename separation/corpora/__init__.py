"""Recordings -> a table of utterances with splits -> packed audio."""
