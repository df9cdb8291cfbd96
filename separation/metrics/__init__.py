"""SI-SDR, BSS-eval and perceptual metrics; usable by themselves."""
