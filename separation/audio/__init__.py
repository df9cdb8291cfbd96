"""Audio files, resampling, 16 bits, loudness."""
