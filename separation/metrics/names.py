"""Names of the metrics; nothing else is imported for them."""

METRICS = ("si_sdr", "sdr", "sir", "sar", "stoi", "pesq")
PERCEPTUAL = ("stoi", "pesq")
# Problems that leave a mixture without values (see problems.PROBLEMS).
UNSCORABLE = frozenset(
    {"silent-reference", "silent-mixture", "zero-estimate", "non-finite", "unreadable"}
    | {"same-references", "model-failed", "score-failed"}
)
