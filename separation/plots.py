"""Plots as PNG files."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DYNAMIC_RANGE_DB = 60  # of a spectrogram


def draw_histograms(columns: dict[str, list[float]], path: Path) -> None:
    """Histograms side by side into a PNG file."""
    figure, axes = plt.subplots(
        1, len(columns), figsize=(3.2 * len(columns), 2.6), layout="constrained", squeeze=False
    )
    for axis, (label, values) in zip(axes[0], columns.items(), strict=True):
        spread = max(values) - min(values) > 1e-6  # else forty bins have no width
        axis.hist(values, bins=40 if spread else 1)
        axis.set_xlabel(label)
    figure.savefig(path, format="png", dpi=100)
    plt.close(figure)
