"""Plots of the report, as PNG in data URIs."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import stft

DYNAMIC_RANGE_DB = 60


def encode_figure(figure: Any) -> str:
    """A figure as a ``data:image/png`` URI; closes it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def plot_curves(rows: list[dict[str, str]], ratio: str = "SI-SDR") -> str:
    """The negative loss, a ratio in dB, of train and dev against minutes, and the learning rate."""
    minutes = [float(row["elapsed_s"]) / 60 for row in rows]
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(7, 4.5), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    for name, label in (("train_loss", "train (mixed on the fly)"), ("dev_loss", "dev (fixed)")):
        top.plot(minutes, [-float(row[name]) for row in rows], marker="o", ms=3, label=label)
    top.set_ylabel(f"{ratio} (dB)")
    top.legend()
    top.grid(alpha=0.3)
    bottom.plot(minutes, [float(row["lr"]) for row in rows], color="gray", drawstyle="steps-pre")
    bottom.set_xlabel("minutes of training")
    bottom.set_ylabel("learning rate")
    bottom.grid(alpha=0.3)
    return encode_figure(figure)


def plot_histogram(improvements: dict[str, list[float]]) -> str:
    """Histogram of SI-SDRi for each test set, on shared bins of 1 dB."""
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    values = np.concatenate([np.asarray(v) for v in improvements.values()])
    bins = np.arange(np.floor(values.min()), np.ceil(values.max()) + 1).tolist()
    for label, own in improvements.items():
        axis.hist(own, bins=bins, alpha=0.55, label=f"{label} (mean {np.mean(own):.2f} dB)")
    axis.axvline(0, color="black", lw=0.8)
    axis.set_xlabel("SI-SDRi (dB)")
    axis.set_ylabel("mixtures")
    axis.legend()
    return encode_figure(figure)


def plot_spectrogram(samples: np.ndarray, sample_rate: int) -> str:
    """Spectrogram of ``(time,)`` samples, 60 dB below its maximum."""
    window = round(0.032 * sample_rate)
    frequencies, times, spectrum = stft(
        samples, sample_rate, nperseg=window, noverlap=window * 3 // 4
    )
    level = 20 * np.log10(np.abs(spectrum) + 1e-10)
    top = level.max()
    figure, axis = plt.subplots(figsize=(3.4, 1.7), layout="constrained")
    axis.pcolormesh(
        times, frequencies / 1000, level, vmin=top - DYNAMIC_RANGE_DB, vmax=top, rasterized=True
    )
    axis.set_xlabel("s", fontsize=7)
    axis.set_ylabel("kHz", fontsize=7)
    axis.tick_params(labelsize=7)
    return encode_figure(figure)


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
