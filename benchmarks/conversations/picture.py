"""The picture of README's section on recordings: a conversation, and the tracks `separate` makes.

    .venv/bin/python -m benchmarks.conversations.picture --speech SPEECH --metadata METADATA

A conversation of two speakers that the shipped model never heard, in red and blue where each really
speaks, and below it both tracks in the same colours. Writes docs/separated.png.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import soundfile

from benchmarks.conversations.draw import Conversation, draw_conversation, draw_pairs
from benchmarks.conversations.speech import RATE, add_speakers, list_speakers
from separation.api import separate_files

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ("#c0392b", "#2471a3")
FIRST_S, LENGTH_S = 4, 24


def separate(conversation: Conversation, folder: Path) -> list[np.ndarray]:
    """The tracks, each a speaker's, in the speakers' order."""
    call = folder / "call.wav"
    soundfile.write(call, conversation.mixture, RATE)
    tracks = [soundfile.read(path)[0] for path in separate_files([call], folder / "out")]
    straight = sum(float(t @ s) for t, s in zip(tracks, conversation.sources, strict=True))
    crossed = sum(float(t @ s) for t, s in zip(tracks, conversation.sources[::-1], strict=True))
    return tracks if straight > crossed else tracks[::-1]


def draw(conversation: Conversation, tracks: list[np.ndarray], target: Path) -> None:
    """Three rows: the recording, and its tracks."""
    part = slice(FIRST_S * RATE, (FIRST_S + LENGTH_S) * RATE)
    time = np.arange(LENGTH_S * RATE) / RATE
    names = ("call.wav", "call_s1.wav", "call_s2.wav")
    figure, axes = plt.subplots(3, 1, figsize=(8, 2.6), sharex=True, sharey=True)
    for axis, name, signals in zip(
        axes, names, (conversation.sources, [tracks[0]], [tracks[1]]), strict=True
    ):
        colours = COLOURS if len(signals) > 1 else (COLOURS[names.index(name) - 1],)
        for signal, colour in zip(signals, colours, strict=True):
            axis.plot(time[::4], signal[part][::4], color=colour, linewidth=0.3, alpha=0.8)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.set_yticks([])
        for side in ("top", "right", "left", "bottom"):
            axis.spines[side].set_visible(False)
    axes[-1].tick_params(labelsize=7)
    axes[-1].set_xlabel("seconds", fontsize=7)
    figure.tight_layout(pad=0.3)
    figure.savefig(target, dpi=110, pil_kwargs={"optimize": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "separated.png")
    args = parser.parse_args()
    speakers = list_speakers(args.speech, args.metadata, "test")
    pair = draw_pairs(speakers, 2, np.random.default_rng(7))[1]
    conversation = draw_conversation(pair, np.random.default_rng(7), (1, 1))
    with tempfile.TemporaryDirectory() as folder:
        draw(conversation, separate(conversation, Path(folder)), args.out)


if __name__ == "__main__":
    main()
