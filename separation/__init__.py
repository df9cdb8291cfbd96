"""Speech separation recipes on Asteroid: corpus, mixtures, training, scores, report."""

__version__ = "0.1.0"
