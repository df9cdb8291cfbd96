"""Thousands of mixtures through ``compare``: killed again and again, memory watched.

    .venv/bin/python -m benchmarks.long_scoring --speech DIR --model CHECKPOINT --work EMPTY_FOLDER

DIR is what egs/folder takes as ``--corpus speech=DIR``. Its test split of N mixtures is drawn; then
``compare`` scores the mixture and the model on it, is killed with SIGKILL after each of the given
seconds, started again, and at last left to end. Every second the resident memory of all its
processes is summed (shared pages count in each). Writes results/long_scoring.json: memory by
minute, rows that were done before each start, and whether each mixture has one row.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import find_commit, read_cpu
from separation.files import read_rows, write_json

ROOT = Path(__file__).resolve().parents[1]
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def draw_table(speech: Path, work: Path, n_mixtures: int) -> Path:
    """Stages 0 to 2 of egs/folder; returns the table of its test split."""
    command = ["bash", "run.sh", "--recipe", "folder/ConvTasNet", "--stop-stage", "2"]
    command += ["--corpus", f"speech={speech}", "--data", str(work / "data"), "--nj", "2"]
    subprocess.run([*command, "--set", f"mixtures.n_test={n_mixtures}"], cwd=ROOT, check=True)
    (table,) = (work / "data").rglob("metadata/test.csv")
    return table


def measure_group_mb(group: int) -> float:
    """Resident memory of all processes of a group, MB."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int((folder / "statm").read_text().split()[1]) * PAGE_MB
        except OSError:  # it has just ended
            continue
    return total


def count_rows(out: Path) -> int:
    """Rows in the journals of an interrupted comparison, without their heads."""
    texts = [path.read_text(encoding="utf-8") for path in out.rglob(".*.rows")]
    return sum(max(0, text.count("\n") - 1) for text in texts)


def run_once(command: list[str], out: Path, kill_after_s: float | None) -> dict[str, Any]:
    """Start it, watch its memory, kill it in time or let it end."""
    done_before, began, memory = count_rows(out), time.monotonic(), []
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    while process.poll() is None:
        time.sleep(1)
        memory.append(measure_group_mb(process.pid))
        if kill_after_s is not None and time.monotonic() - began > kill_after_s:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    minutes = [memory[start : start + 60] for start in range(0, len(memory), 60)]
    return {
        "rows_done_before": done_before,
        "seconds": round(time.monotonic() - began, 1),
        "killed": process.returncode == -signal.SIGKILL,
        "exit_code": process.returncode,
        "memory_mb_by_minute": [round(statistics.median(part)) for part in minutes],
        "most_memory_mb": round(max(memory)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--model", required=True, help="what compare --models takes")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--mixtures", type=int, default=3000)
    parser.add_argument("--kill-after", type=float, nargs="*", default=[15.0, 40.0, 90.0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/long_scoring.json")
    args = parser.parse_args()
    speech, work = args.speech.resolve(), args.work.resolve()
    table, out = draw_table(speech, work, args.mixtures), work / "comparison"
    command = [sys.executable, "-m", "separation", "compare", "--models", args.model, "--nj", "2"]
    command += ["--test-sets", str(table), "--corpus", f"speech={speech}", "--out", str(out)]
    command += ["--oracles"]
    runs = [run_once(command, out, seconds) for seconds in (*args.kill_after, None)]
    tables = {path.stem: read_rows(path) for path in sorted(out.glob("*/*.csv"))}
    wanted = {row["mixture_ID"] for row in read_rows(table)}
    result = {
        "cpu": read_cpu(),
        "commit": find_commit(),
        "mixtures": len(wanted),
        "runs": runs,
        "each_mixture_has_one_row": {
            name: len(rows) == len(wanted) and {row["mixture_ID"] for row in rows} == wanted
            for name, rows in tables.items()
        },
    }
    write_json(args.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
