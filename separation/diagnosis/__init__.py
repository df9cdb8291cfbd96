"""What limits an experiment or a recipe: measured figures -> findings, in their order of worth."""
