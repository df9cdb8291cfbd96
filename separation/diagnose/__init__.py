"""The command ``diagnose``: what limits an experiment, or a recipe before it is trained."""
