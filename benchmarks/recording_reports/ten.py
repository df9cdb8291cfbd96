"""Ten recordings of different kinds, for their pages to be looked at.

    .venv/bin/python -m benchmarks.recording_reports.ten --speech DIR --metadata DIR \\
        --music DIR --prompts DIR DIR --out OUT

Speakers are those that the shipped model never heard; music and prompts as in ``conditions``. Then
`.venv/bin/python -m separation separate OUT --report --out PAGES`.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.conversations.draw import draw_conversation, draw_pairs
from benchmarks.conversations.recordings import make_coloured_noise
from benchmarks.conversations.speech import RATE, add_speakers, list_speakers
from benchmarks.recording_reports import degrade
from benchmarks.recording_reports.conditions import add_sounds, say_prompts
from separation.audio.resample import resample

SEED = 40
MINUTES = (0.45, 0.55)


def make_recordings(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Signals by name, at 16 kHz."""
    rng = np.random.default_rng(SEED)
    speakers = [
        own
        for own in list_speakers(args.speech, args.metadata, "test")
        if len(own.paths) >= 10  # of much to say
    ]
    pairs = draw_pairs(speakers, 7, rng)
    two = [draw_conversation(pair, rng, MINUTES).sources for pair in pairs]
    music = sorted(args.music.rglob("*.ogg"), key=lambda path: path.stat().st_size)
    third = [*pairs[6], next(own for own in speakers if own not in pairs[6])]
    unequal = two[5] * np.array([[1.0], [10 ** (-16 / 20)]])
    return {
        "1_one_voice": draw_conversation([pairs[0][0]], rng, MINUTES).mixture,
        "2_two_voices": two[0].sum(axis=0),
        "3_three_voices": draw_conversation(third, rng, (0.8, 0.9)).mixture,
        "4_noise": degrade.add_sound(
            two[1].sum(axis=0), make_coloured_noise(rng, two[1].shape[1]), 3
        ),
        "5_music": degrade.read_music(music[-1], 25 * RATE, rng) * 0.5,
        "6_telephone": degrade.limit_band(two[2].sum(axis=0)),
        "7_clipped": degrade.clip(two[3].sum(axis=0), 0.05),
        "8_reverberant": degrade.reverberate(two[4].sum(axis=0), degrade.make_room(0.9, rng)),
        "9_unequal": unequal.sum(axis=0),
        "10_spanish_french": say_prompts(
            [sorted(folder.rglob("*.wav")) for folder in args.prompts], rng, 25.0
        ).sum(axis=0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    add_sounds(parser)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, signal in make_recordings(args).items():
        peak = float(np.abs(signal).max())
        scaled = signal if name == "7_clipped" else 0.7 * signal / peak
        rate = 44100 if name == "5_music" else RATE
        soundfile.write(args.out / f"{name}.wav", resample(scaled, RATE, rate), rate)
        print(args.out / f"{name}.wav", flush=True)


if __name__ == "__main__":
    main()
