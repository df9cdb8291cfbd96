"""The command ``demo``: a page in the browser, on this machine alone, to try separation."""
