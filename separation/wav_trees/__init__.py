"""The command ``render``: mixture tables -> WAV trees."""
