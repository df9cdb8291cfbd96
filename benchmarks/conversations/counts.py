"""How often `separate` says rightly how many voices there are, and that no track is louder.

    .venv/bin/python -m benchmarks.conversations.counts --speech SPEECH --metadata METADATA

Recordings of no speech, of one and of three speakers, and of two at once all the time, of speakers
that the shipped model never heard (the thresholds were chosen on others); the conversations of
``run`` are those of two. Everything is kept in --work. Writes benchmarks/results/voice_counts.json.
"""

import argparse
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.conversations.cases import CPU, Case, prepare_case
from benchmarks.conversations.recordings import draw_recordings
from benchmarks.conversations.run import read_whole
from benchmarks.conversations.score import score_tracks
from benchmarks.conversations.speech import add_speakers
from benchmarks.machine import find_commit
from separation.files import write_json
from separation.models.checkpoint.load import open_model
from separation.recordings.arrangement import keep_outputs

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "voice_counts.json"
COUNTS = {"none": 10, "one": 60, "overlapped": 12, "three": 12}
SEED = 60


def describe_case(case: Case, kind: str, model: torch.nn.Module) -> dict[str, Any]:
    """What was said of a recording, and how its tracks are."""
    arranged = case.arrange(case.store("ours"), model)
    tracks = read_whole(arranged.tracks, arranged.survey.factors)
    mixture = case.mixture
    row: dict[str, Any] = {
        "kind": kind,
        "speakers": case.names,
        "duration_s": round(len(mixture) / case.rate, 1),
        "said": arranged.count.n_voices if arranged.count else None,
        "known": bool(arranged.count and arranged.count.is_known),
        "way": arranged.way,
        "louder": bool((np.square(tracks).sum(axis=1) > 1.001 * np.square(mixture).sum()).any()),
        "inverted": bool((tracks @ mixture < 0).any()),
    }
    if kind == "overlapped":
        stored = case.store("today")
        stored.separate(model, CPU, "today")
        outputs = keep_outputs(stored, None)
        today = read_whole(outputs.tracks, outputs.survey.factors)
        for name, signals in (("ours", tracks), ("today", today)):
            score = score_tracks(case.sources, signals, case.rate)
            row[f"si_sdr_{name}"] = round(statistics.mean(score.si_sdr), 2)
    return row


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By kind: how often each number was said, and what is wrong with levels."""
    summary = {}
    for kind in COUNTS:
        chosen = [row for row in rows if row["kind"] == kind]
        if not chosen:
            continue
        summary[kind] = {
            "recordings": len(chosen),
            "said": dict(Counter(str(row["said"]) for row in chosen)),
            "ways": dict(Counter(row["way"] for row in chosen)),
            "louder": sum(row["louder"] for row in chosen),
            "inverted": sum(row["inverted"] for row in chosen),
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--work", type=Path, default=ROOT / "exp" / "conversations" / "counts")
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = open_model("shipped").model
    rows = []
    for recording in draw_recordings(args.speech, args.metadata, args.split, COUNTS, SEED):
        work = args.work / recording.name
        case = prepare_case(recording.conversation, int(model.sample_rate), work)
        rows.append(describe_case(case, recording.kind, model))
        print(recording.name, rows[-1]["said"], rows[-1]["way"], flush=True)
    summary = summarise(rows)
    write_json(RESULT, {"commit": find_commit(), "summary": summary, "recordings": rows})
    print(summary)


if __name__ == "__main__":
    main()
