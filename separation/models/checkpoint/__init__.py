"""Any name of a model -> file -> plain values -> model; nothing in a file runs."""
