"""Is what a recording's page says of it true: recordings whose truth is known."""
