"""Names of the metrics; nothing else is imported for them."""

METRICS = ("si_sdr", "sdr", "sir", "sar", "stoi", "pesq")
PERCEPTUAL = ("stoi", "pesq")
