"""Names of the estimators that every model is compared with; nothing else is imported for them."""

FLOOR = "mixture"  # the unprocessed mixture
ORACLES = ("ibm", "irm", "wfm")  # oracle masks
