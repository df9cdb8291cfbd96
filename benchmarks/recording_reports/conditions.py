"""Recordings with one hard condition each, what is measured of them, and what it costs.

    .venv/bin/python -m benchmarks.recording_reports.conditions --speech DIR --metadata DIR \\
        --music DIR --prompts DIR DIR --work WORK

Music is any folder of OGG files (Debian: extremetuxracer-data and frozen-bubble-data), prompts are
folders of WAV files of one voice each in another language (asterisk-core-sounds-es-wav, -fr-wav).
Writes ``conditions.json`` into WORK, which ``measure`` reads, and
separation/recordings/report/consequences.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.conversations.draw import draw_conversation, draw_pairs
from benchmarks.conversations.speech import (
    LEVEL_DB,
    RATE,
    Speaker,
    Talker,
    add_speakers,
    list_speakers,
)
from benchmarks.recording_reports import degrade
from benchmarks.recording_reports.voices import measure_gain
from separation.audio.resample import resample
from separation.files import write_json
from separation.models.checkpoint.load import open_model
from separation.recordings.evidence import detect_speech
from separation.recordings.report.conditions import measure_conditions
from separation.recordings.report.consequences import MEASURED
from separation.recordings.report.signals import ClipMeter
from separation.recordings.speech_networks import load_detector
from separation.recordings.waveform import separate_waveform

COUNTS = {"train": 28, "test": 70}
KINDS = ("clean", "narrow", "noise", "clipped", "reverberant", "music", "dry")
LEVELS = {
    "noise": (20.0, 10.0, 5.0, 0.0),
    "clipped": (0.1, 1.0, 10.0),
    "reverberant": (0.3, 0.6, 1.0),
    "music": (10.0, 0.0),
    "unequal": (5.0, 10.0, 15.0),
    "narrow": (0.0,),
}
SEED, MIXTURE_S = 30, 5.0


def add_sounds(parser: argparse.ArgumentParser) -> None:
    """``--music`` and ``--prompts``: what is no English speech."""
    parser.add_argument("--music", type=Path, required=True, help="folder of OGG files")
    parser.add_argument(
        "--prompts", type=Path, nargs=2, required=True, help="folders of WAV files of one voice"
    )


def degrade_one(
    kind: str, level: float, signal: np.ndarray, music: list[Path], rng: np.random.Generator
) -> np.ndarray:
    """A signal in one condition."""
    if kind == "narrow":
        return degrade.limit_band(signal)
    if kind == "noise":
        return degrade.add_noise(signal, level, rng)
    if kind == "clipped":
        return degrade.clip(signal, level / 100)
    if kind == "reverberant":
        return degrade.reverberate(signal, degrade.draw_tail(level, rng))
    if kind == "music":
        piece = music[int(rng.integers(len(music)))]
        return degrade.add_sound(signal, degrade.read_music(piece, len(signal), rng), level)
    return signal


def draw_level(kind: str, rng: np.random.Generator) -> float:
    """A level at which a condition is hard; ``dry`` is a room of 0.2 to 0.3 s, which is not."""
    spans = {"noise": (0, 10), "clipped": (0.1, 5), "reverberant": (0.6, 1.1), "music": (0, 8)}
    return round(float(rng.uniform(*spans.get(kind, (0, 0)))), 2)


def measure_recordings(
    speakers: list[Speaker], count: int, music: list[Path], seed: int, work: Path
) -> list[dict[str, Any]]:
    """Conversations of 15 to 20 s, each in one condition, and what is measured of them."""
    detector = load_detector()
    assert detector, "pip install --no-deps -r requirements-voices.txt"
    rows = []
    for number in range(count):
        rng = np.random.default_rng([SEED, seed, number])
        pair = draw_pairs(speakers, 1 + number % 2, rng)[-1]
        kind = KINDS[number % len(KINDS)]
        level = draw_level(kind, rng)
        signal = draw_conversation(pair, rng, (0.25, 0.33)).mixture
        if kind == "dry":
            signal = degrade.reverberate(signal, degrade.draw_tail(0.25, rng))
        signal = degrade_one(kind, level, signal, music, rng).astype(np.float32)
        signal.tofile(work / "condition.f32")
        speech = detect_speech(work / "condition.f32", len(signal), detector)
        own = measure_conditions(signal, speech)
        meter = ClipMeter(RATE)
        list(meter.pass_on([signal]))
        rows.append({"kind": kind, "level": level, "clipped": meter.read().share, **vars(own)})
    return rows


def measure_costs(
    speakers: list[Speaker], music: list[Path], prompts: list[list[Path]], n: int
) -> list[dict[str, Any]]:
    """The shipped model's SI-SDRi in each condition, on the same mixtures of two."""
    model = open_model("shipped").model
    gains: dict[tuple[str, float], list[float]] = {}
    faint: dict[float, list[float]] = {}
    for number in range(n):
        rng = np.random.default_rng([SEED, 9, number])
        pair = draw_pairs(speakers, 1 + number % 2, rng)[-1]
        sources = np.stack([Talker(own, rng).say(round(MIXTURE_S * RATE)) for own in pair])
        gains.setdefault(("clean", 0.0), []).append(_separate(model, sources, sources.sum(axis=0)))
        for kind, levels in LEVELS.items():
            for level in levels:
                given, mixture = _degrade_both(kind, level, sources, music, rng)
                gains.setdefault((kind, level), []).append(_separate(model, given, mixture))
                if kind == "unequal":
                    alone = _separate(model, given, mixture, only=1)
                    faint.setdefault(level, []).append(alone)
        given = say_prompts(prompts, rng)
        gains.setdefault(("language", 0.0), []).append(_separate(model, given, given.sum(axis=0)))
    clean = float(np.mean(gains.pop(("clean", 0.0))))
    return [
        {
            "code": kind,
            "level": level,
            "value_db": round(float(np.mean(values)), 2),
            "clean_db": round(clean, 2),
            "n": len(values),
            "about": _describe(kind, level, faint),
        }
        for (kind, level), values in gains.items()
    ]


def _describe(kind: str, level: float, faint: dict[float, list[float]]) -> dict[str, Any]:
    if kind == "language":
        return {"languages": "Spanish with French"}
    return {"faint": round(float(np.mean(faint[level])), 2)} if kind == "unequal" else {}


def _degrade_both(
    kind: str, level: float, sources: np.ndarray, music: list[Path], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """References and mixture: a room and a band are the references' own, the rest is not."""
    if kind == "unequal":
        given = sources * np.array([[1.0], [10 ** (-level / 20)]])
        return given, given.sum(axis=0)
    if kind in ("narrow", "reverberant"):
        given = np.stack([degrade_one(kind, level, own, music, rng) for own in sources])
        return given, given.sum(axis=0)
    return sources, degrade_one(kind, level, sources.sum(axis=0), music, rng)


def _separate(
    model: Any, sources: np.ndarray, mixture: np.ndarray, only: int | None = None
) -> float:
    """SI-SDRi in the band of the model."""
    estimates = separate_waveform(
        model, mixture.astype(np.float32), RATE, torch.device("cpu"), "mixture"
    )
    narrow = np.stack([resample(resample(own, RATE, 8000), 8000, RATE) for own in sources])
    narrow = narrow[:, : estimates.shape[1]]
    if only is None:
        return measure_gain(estimates, narrow, mixture=mixture)
    return measure_gain(estimates, narrow, mixture=mixture, only=only)


def say_prompts(
    prompts: list[list[Path]], rng: np.random.Generator, seconds: float = MIXTURE_S
) -> np.ndarray:
    """Two voices of other languages at once, at one level, ``(2, time)``."""
    voices = []
    for paths in prompts:
        signal = np.empty(0, np.float32)
        while len(signal) < seconds * RATE:
            samples, rate = soundfile.read(paths[int(rng.integers(len(paths)))], dtype="float32")
            signal = np.concatenate([signal, resample(samples, rate, RATE)])
        power = degrade.measure_speech_power(signal)
        gain = np.sqrt(10 ** (LEVEL_DB / 10) / power)
        voices.append(gain * signal[: round(seconds * RATE)])
    return np.stack(voices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    add_sounds(parser)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--mixtures", type=int, default=16)
    parser.add_argument("--only", choices=("recordings", "costs"), help="a half of it")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    music = sorted(args.music.rglob("*.ogg"))
    music = [path for path in music if path.stat().st_size > 300_000]
    prompts = [sorted(p.rglob("*.wav")) for p in args.prompts]
    prompts = [[p for p in own if p.stat().st_size > 30_000] for own in prompts]
    if args.only != "costs":
        rows = {}
        for seed, (split, count) in enumerate(COUNTS.items()):
            speakers = list_speakers(args.speech, args.metadata, split)
            pieces = music[seed::2]  # thresholds are chosen on other music
            rows[split] = measure_recordings(speakers, count, pieces, seed, args.work)
            write_json(args.work / "conditions.json", rows)
            print(split, len(rows[split]), flush=True)
    if args.only == "recordings":
        return
    speakers = list_speakers(args.speech, args.metadata, "test")
    costs = measure_costs(speakers, music[1::2], prompts, args.mixtures)
    write_json(MEASURED, costs)
    print(costs)


if __name__ == "__main__":
    main()
