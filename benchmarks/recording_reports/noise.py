"""How often "hardly anything was separated" is found where noise lies over both tracks.

    .venv/bin/python -m benchmarks.recording_reports.noise --speech DIR --metadata DIR

Conversations of two of speakers whom the shipped model never heard, its own outputs, without noise
and with coloured noise at several levels below the speech. Tracks are compared by waveform, and
noise makes them unlike. Writes benchmarks/results/alike_in_noise.json.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.conversations.draw import draw_conversation, draw_pairs
from benchmarks.conversations.recordings import make_coloured_noise
from benchmarks.conversations.speech import RATE, add_speakers, list_speakers
from benchmarks.machine import RESULTS, find_commit
from benchmarks.recording_reports.degrade import add_sound
from benchmarks.recording_reports.measure import FAILED_DB, count_pairs
from benchmarks.recording_reports.voices import MODES, measure_gain
from separation.files import write_json
from separation.models.checkpoint.load import open_model
from separation.recordings.evidence import detect_speech
from separation.recordings.report import thresholds
from separation.recordings.report.streams import describe_streams
from separation.recordings.report.suspicions import measure_alike
from separation.recordings.speech_networks import INSTALL, load_detector, load_encoder
from separation.recordings.turns import load_turns
from separation.recordings.waveform import separate_waveform

SEED = 77
BELOW_DB = (None, 10, 3, 0)  # None: no noise


def measure(mixture: np.ndarray, sources: np.ndarray, model: Any) -> tuple[float, float | None]:
    """SI-SDRi in dB where both speak, and by what the page judges tracks alike."""
    estimates = np.asarray(
        separate_waveform(model, mixture, RATE, torch.device("cpu"), "noise"), np.float32
    )
    encoder, detector = load_encoder(), load_detector()
    assert encoder and detector, INSTALL
    with tempfile.NamedTemporaryFile() as wide:
        mixture.tofile(wide.name)
        speech = detect_speech(Path(wide.name), len(mixture), detector)
    streams = describe_streams(mixture, list(estimates), speech, encoder, load_turns().project)
    return measure_gain(estimates, sources, mixture=mixture), measure_alike(streams)


def summarise(rows: list[tuple[float, float | None]]) -> dict[str, Any]:
    """Precision and recall with counts."""
    failed = [gain < FAILED_DB for gain, _ in rows]
    return count_pairs(failed, [(alike or 0.0) > thresholds.ALIKE for _, alike in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--count", type=int, default=24)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = open_model("shipped").model
    rng = np.random.default_rng(SEED)
    speakers = list_speakers(args.speech, args.metadata, "test")
    rows: dict[str, list[tuple[float, float | None]]] = {}
    for pair in draw_pairs(speakers, args.count, rng):
        sources = draw_conversation(pair, rng, MODES["overlap"]).sources
        for below_db in BELOW_DB:
            mixture = sources.sum(axis=0)
            if below_db is not None:
                mixture = add_sound(mixture, make_coloured_noise(rng, len(mixture)), below_db)
            found = measure(mixture.astype(np.float32), sources, model)
            rows.setdefault("none" if below_db is None else f"{below_db} dB", []).append(found)
            print(pair[0].name, pair[1].name, below_db, found, flush=True)
    result = {"commit": find_commit(), "levels": {k: summarise(own) for k, own in rows.items()}}
    write_json(RESULTS / "alike_in_noise.json", result)
    print(result)


if __name__ == "__main__":
    main()
