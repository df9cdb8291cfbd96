"""Corpora of a few bytes a file, for which tests/data/stage_keys.json has the stages' keys.

A key depends on the names and sizes of files, not on their samples.
"""

import os
from pathlib import Path

from tests.support.librimix_tree import read_reference_rows
from tests.support.wsj0_tree import LISTS, list_paths

SUBSETS = ("train-clean-100", "dev-clean", "test-clean")
STAMP_NS = 1_700_000_000_000_000_000


def write_corpora(folder: Path) -> None:
    """Write ``speech``, ``LibriSpeech``, ``LibriMix``, ``wham``, ``wsj0``, ``mixtures``."""
    for speaker in ("ann_F", "bob_M", "cai_M", "dot_F"):
        for item in range(5):
            _write_bytes(folder / "speech" / speaker / f"say{item}.wav", 100 + 10 * item)
    _write_librimix(folder)
    for number, path in enumerate(list_paths(2)):
        _write_bytes(folder / path, 200 + number)
    (folder / "wsj0mix").symlink_to(LISTS)
    for tree, mix in (("mixtures", "mix_clean"), ("noisy", "mix_both")):
        for split, count in (("train", 3), ("dev", 2), ("test", 2)):
            for name in (mix, "s1", "s2"):
                for item in range(count):
                    _write_bytes(folder / tree / split / name / f"m{item}.wav", 50 + item)


def _write_librimix(folder: Path) -> None:
    """LibriMix's lists of a few rows each, and what they name."""
    speakers = set()
    rows = read_reference_rows(2)
    for subset in SUBSETS:
        of_subset = [row for row in rows if row["source_1_path"].startswith(subset)]
        lines = [",".join(rows[0])] + [",".join(row.values()) for row in (of_subset or rows)[:4]]
        path = folder / "LibriMix" / "metadata" / "Libri2Mix" / f"libri2mix_{subset}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number, row in enumerate(rows):
        for k in (1, 2):
            path = Path(row[f"source_{k}_path"])
            speakers.add(path.stem.split("-")[0])
            _write_bytes(folder / "LibriSpeech" / path, 300 + 2 * number + k)
        _write_bytes(folder / "wham" / row["noise_path"], 400 + number)
    table = "".join(f"{speaker} | {'FM'[int(speaker) % 2]} | x\n" for speaker in sorted(speakers))
    (folder / "LibriSpeech" / "SPEAKERS.TXT").write_text(table, encoding="utf-8")


def write_results(experiment: Path) -> None:
    """What the keys of stages 5 and 6 look at: a checkpoint, a verdict, a baseline's scores."""
    _write_bytes(experiment / "best_model.pth", 77)
    _write_bytes(experiment / "overfit.json", 7)
    _write_bytes(experiment.parents[1] / "STFTMask/default/evaluation/summary.json", 8)


def _write_bytes(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(STAMP_NS, STAMP_NS))
