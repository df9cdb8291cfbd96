"""How often what a recording's page suspects is true: precision and recall, with counts.

    .venv/bin/python -m benchmarks.recording_reports.measure WORK CONDITIONS_WORK [--split test]

Reads what ``voices`` (of either mode) and ``conditions`` left; --split train shows how the
thresholds in separation/recordings/report/thresholds.py do where they were chosen. Writes
benchmarks/results/recording_reports.json for the test speakers.
"""

import argparse
import json
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import find_commit
from benchmarks.recording_reports.voices import MODES
from separation.files import write_json
from separation.recordings.report import thresholds
from separation.recordings.report.findings import is_musical, is_narrow, is_noisy, is_reverberant
from separation.recordings.report.suspicions import Suspicion, list_suspicions
from separation.recordings.speech_networks import TICK_S

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "recording_reports.json"
RATE = 16000
ACTIVE_DB, WRONG_S, LEAST_SHARE = 30.0, 1.5, 0.15
LEAK_DB, FAILED_DB = -16.0, 4.0


def find_home(case: dict[str, Any]) -> np.ndarray:
    """The track of each source that has most of it, without a track twice."""
    total = (case["share"] * case["energy"][:, None]).sum(axis=0)
    return np.array([0, 1] if total[0, 0] + total[1, 1] >= total[0, 1] + total[1, 0] else [1, 0])


def find_truth(case: dict[str, Any]) -> dict[str, Any]:
    """What is really wrong with the tracks of a conversation of two."""
    energy, share = case["energy"], case["share"]
    heard = energy > 10 ** (-ACTIVE_DB / 10) * np.percentile(energy, 95, axis=0)
    home, ticks = find_home(case), np.arange(len(energy))
    at_home = np.stack([share[ticks, home[s], s] for s in range(2)], axis=1)
    away = np.stack([share[ticks, 1 - home[s], s] for s in range(2)], axis=1)
    alone = heard & ~heard[:, ::-1]
    wrong = alone & (away > 2 * at_home)
    ratio = 10 * np.log10(np.maximum(away, 1e-9))
    leaks = alone & (ratio > LEAK_DB) & (away < 0.5 * at_home)
    wrong_share = wrong.sum(axis=0) / np.maximum(alone.sum(axis=0), 1)
    merged = bool((wrong_share > 0.8).any())
    failed, known = case["si_sdri"] < FAILED_DB, np.isfinite(case["si_sdri"])
    return {
        # one order for all of a swapped recording says nothing of what was separated
        "alike": bool(failed) if known and case["kind"] != "swap" else None,
        "merge": merged,
        "swap": bool(wrong.sum() * TICK_S >= WRONG_S and not merged),
        # beside a voice of its own a leak is hardly heard; a planted one is known
        "leak": bool(leaks.sum() * TICK_S >= WRONG_S or case["kind"] == "leak"),
        "wrong": wrong.any(axis=1),
        "speech": heard.any(axis=1),
    }


def cover_ticks(suspicions: Sequence[Suspicion], n_ticks: int) -> np.ndarray:
    """Ticks that are suspected to hold a voice in the wrong track, bool ``(n_ticks,)``."""
    covered = np.zeros(n_ticks, bool)
    for own in suspicions:
        if own.kind in ("swap", "merge", "two_voices"):
            for start, stop in own.spans:
                covered[round(start / TICK_S) : round(stop / TICK_S)] = True
    return covered


def count_pairs(truths: Sequence[bool], said: Sequence[bool]) -> dict[str, Any]:
    """Precision and recall with counts; None where there is nothing to divide by."""
    true, found = np.array(truths, bool), np.array(said, bool)
    hits = int((true & found).sum())
    return {
        "true": int(true.sum()),
        "suspected": int(found.sum()),
        "hits": hits,
        "of": len(true),
        "precision": round(hits / found.sum(), 3) if found.any() else None,
        "recall": round(hits / true.sum(), 3) if true.any() else None,
    }


def measure_voices(folder: Path) -> dict[str, Any]:
    """Suspicions of the tracks, of recordings and of seconds."""
    paths = sorted(folder.glob("*.pkl"))
    cases = [case for path in paths for case in pickle.loads(path.read_bytes())]
    truths = [find_truth(case) for case in cases]
    said = [suspect(case) for case in cases]
    kinds = [{own.kind for own in found} for found in said]
    result: dict[str, Any] = {
        "track_sets": len(cases),
        "ways": dict(Counter(case.get("way", "overlap") for case in cases)),
    }
    for group in ("real", "planted", "all"):
        rows = [
            (truth, own)
            for case, truth, own in zip(cases, truths, kinds, strict=True)
            if group == "all" or (case["kind"] == "real") == (group == "real")
        ]
        result[group] = _count_kinds(rows)
    covered = [cover_ticks(own, len(t["wrong"])) for own, t in zip(said, truths, strict=True)]
    joined = [np.concatenate([t[key] for t in truths]) for key in ("wrong", "speech")]
    result["seconds_in_wrong_track"] = count_pairs(
        joined[0][joined[1]], np.concatenate(covered)[joined[1]]
    )
    unsure = [cover_seconds(case, len(t["wrong"])) for case, t in zip(cases, truths, strict=True)]
    result["seconds_unsure"] = count_pairs(joined[0][joined[1]], np.concatenate(unsure)[joined[1]])
    return result


def suspect(case: dict[str, Any]) -> list[Suspicion]:
    """What the page suspects: nothing where it says that there is one voice."""
    return [] if case.get("way") == "one voice" else list_suspicions(case["streams"])


def cover_seconds(case: dict[str, Any], n_ticks: int) -> np.ndarray:
    """Ticks in which ``separate`` itself was not sure, bool ``(n_ticks,)``."""
    covered = np.zeros(n_ticks, bool)
    for second in case.get("unsure_s", ()):
        covered[round(second / TICK_S) : round((second + 1) / TICK_S)] = True
    return covered


def _count_kinds(rows: list[tuple[dict[str, Any], set[str]]]) -> dict[str, Any]:
    """Each suspicion by itself; where tracks are alike leaks are not looked for."""
    counted = [row for row in rows if row[0]["alike"] is not None]
    apart = [row for row in rows if not row[0]["alike"]]
    kinds: dict[str, Any] = {
        "alike": count_pairs([t["alike"] for t, _ in counted], ["alike" in k for _, k in counted])
    }
    for kind in ("merge", "swap", "leak"):
        names = {"swap": {"swap", "two_voices"}}.get(kind, {kind})
        chosen = apart if kind == "leak" else rows
        kinds[kind] = count_pairs(
            [t[kind] for t, _ in chosen], [bool(k & names) for _, k in chosen]
        )
    kinds["wrong_track"] = count_pairs(
        [t["merge"] or t["swap"] for t, _ in rows],
        [bool(k & {"swap", "merge", "two_voices"}) for _, k in rows],
    )
    return kinds


def measure_conditions(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Each condition against all recordings without it."""
    said = {
        "narrow": [is_narrow(row["highest_hz"], RATE) for row in rows],
        "noise": [is_noisy(row["snr_db"], row["snr_from"], alone=False) for row in rows],
        "clipped": [row["clipped"] > thresholds.CLIPPED for row in rows],
        "reverberant": [
            row["decay_s"] is not None and is_reverberant(row["decay_s"], row["snr_db"])
            for row in rows
        ],
        "music": [is_musical(row["tones"], row["pause_tones"], row["snr_db"]) for row in rows],
    }
    kinds = [row["kind"] for row in rows]
    result: dict[str, Any] = {"recordings": len(rows)}
    for kind, found in said.items():
        # music below speech is noise as well, so it is no error to say so
        kept = [n for n, own in enumerate(kinds) if not (kind == "noise" and own == "music")]
        result[kind] = count_pairs([kinds[n] == kind for n in kept], [found[n] for n in kept])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voices", type=Path)
    parser.add_argument("conditions", type=Path)
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    rows = json.loads((args.conditions / "conditions.json").read_text()).get(args.split)
    result = {
        "commit": find_commit(),
        "split": args.split,
        "voices": {
            mode: measure_voices(args.voices / mode / args.split)
            for mode in MODES
            if (args.voices / mode / args.split).is_dir()
        },
        "conditions": measure_conditions(rows) if rows else None,  # not measured yet
    }
    if args.split == "test":
        write_json(RESULT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
