"""Stage 5 of a trained experiment by another tree's code and by this one's, in turns.

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.stage5 /tmp/before --data data --exp exp [--turns 2]

Each time the experiment is copied without its scores; --set gives both what it was trained with,
where the recipe was another then. CPU seconds are those of all processes of the stage, imports too;
the scores are compared mixture by mixture. Writes benchmarks/results/stage5.json.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, ROOT, describe_cpu
from separation.files import read_rows, write_json

SCORES = ("evaluation", ".done_5_evaluate.json", ".done_6_report.json")
Scores = dict[str, float]  # by set, estimator, mixture and metric


def run_stage(code: Path, exp: Path, args: argparse.Namespace) -> tuple[float, float]:
    """CPU and wall seconds of the stage by the code in a folder."""
    words = ["--recipe", args.recipe, "--data", str(args.data.resolve()), "--exp", str(exp)]
    words += ["--nj", str(args.nj), "--device", "cpu"]
    words += [word for value in args.overrides for word in ("--set", value)]
    command = [sys.executable, "-m", "separation", "evaluate", *words]
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{code}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    after = os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return cpu_s, time.perf_counter() - began


def read_scores(folder: Path) -> Scores:
    """Every number of every table of scores below a folder."""
    scores = {}
    for path in sorted(folder.rglob("*.csv")):
        for row in read_rows(path):
            for metric, value in row.items():
                if metric.startswith(("si_sdr", "sdr")) and value:
                    scores[f"{path.parent.name} {path.stem} {row['mixture_ID']} {metric}"] = float(
                        value
                    )
    return scores


def find_difference(one: Scores, other: Scores) -> float:
    """The largest, in dB; both have the same mixtures and metrics."""
    if one.keys() != other.keys():
        raise SystemExit(f"scored by one of them only: {sorted(one.keys() ^ other.keys())[:5]}")
    return max(abs(one[key] - other[key]) for key in one)


def find_ratio(seconds: dict[str, list[float]]) -> float:
    """How many times as fast it is now, the median of the turns."""
    ratios = [one / other for one, other in zip(seconds["before"], seconds["now"], strict=True)]
    return round(statistics.median(ratios), 2)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """CPU and wall seconds of each turn, and the largest difference of a score."""
    codes = {"before": args.before.resolve(), "now": ROOT}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    scores: dict[str, Scores] = {}
    for _ in range(args.turns):
        for name, code in codes.items():
            with tempfile.TemporaryDirectory(prefix="stage5_") as folder:
                place = Path(args.recipe) / args.tag
                ignored = shutil.ignore_patterns(*SCORES)
                shutil.copytree(args.exp / place, Path(folder) / place, ignore=ignored)
                seconds[name].append(run_stage(code, Path(folder), args))
                scores[name] = read_scores(Path(folder) / place / "evaluation")
    cpu_s = {name: [round(own, 1) for own, _ in turns] for name, turns in seconds.items()}
    wall_s = {name: [round(own, 1) for _, own in turns] for name, turns in seconds.items()}
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "times_as_fast": find_ratio(cpu_s),
        "times_as_fast_wall": find_ratio(wall_s),
        "scores": len(scores["now"]),
        "largest_difference_db": find_difference(scores["before"], scores["now"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "before", type=Path, help="a clone or worktree, of an earlier commit or changed"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--exp", type=Path, required=True)
    parser.add_argument("--recipe", default="mini/ConvTasNet")
    parser.add_argument("--tag", default="default")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="K=V")
    parser.add_argument("--nj", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=2)
    args = parser.parse_args()
    git = ["git", "-C", str(args.before), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    result = describe_cpu() | {"before": commit, "recipe": args.recipe, "nj": args.nj}
    result |= measure(args)
    write_json(RESULTS / "stage5.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
