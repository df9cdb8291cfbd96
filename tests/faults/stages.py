"""Every stage killed, on a disk that fills up, and in a folder that cannot be written.

    python -m tests.faults.stages DIR [--kills N] [--seed N] [--free KB ...] [--read-only]

A folder of synthetic speakers goes through all stages, each first killed so many times at random
moments (``kill -9``), with so many kB free, or read-only, and then left alone. Tables and scores
are compared with those of a run without faults. Disks are small ones in memory (tmpfs), for which
it must be root.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import soundfile

from separation.files import hash_file
from separation.stages.table import STAGES
from tests.conftest import ROOT, make_voice

DISK_MB = 1200  # stage 0 asks for 1 GB
SETTINGS = {
    **{
        "splits.dev_share": 0.3,
        "splits.test_share": 0.3,
        "mixtures.n_dev": 2,
        "mixtures.n_test": 2,
    },
    **{"mixtures.min_utterance_s": 1, "training.segment_s": 1, "training.batch_size": 2},
    **{"training.epochs": 1, "training.epoch_mixtures": 4, "training.compile": "off"},
    **{"model.n_filters": 8, "model.bn_chan": 4, "model.hid_chan": 8, "model.skip_chan": 4},
    **{"model.n_blocks": 1, "model.n_repeats": 1, "training.examples_every": 0},
}


def write_speakers(folder: Path) -> None:
    """Six speakers of four recordings."""
    for number in range(6):
        (folder / f"spk{number}").mkdir(parents=True, exist_ok=True)
        for item in range(4):
            voice = make_voice(9 * number + item, 90 + 35 * number, 1.4, 8000)
            soundfile.write(folder / f"spk{number}" / f"say{item}.wav", voice, 8000)


def start_stage(name: str, speech: Path, folder: Path) -> subprocess.Popen:
    """One stage in a group of processes of its own, data and experiments below a folder."""
    words = ["--recipe", "folder/ConvTasNet", "--corpus", f"speech={speech}", "--nj", "1"]
    words += ["--data", str(folder / "data"), "--exp", str(folder / "exp"), "--device", "cpu"]
    words += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "separation", name, *words],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": "/tmp"}, start_new_session=True,
    )  # fmt: skip


def run_stage(name: str, speech: Path, folder: Path) -> str:
    """``done``, ``a sentence``, or what else the stage said last."""
    process = start_stage(name, speech, folder)
    _, error = process.communicate()
    if process.returncode == 0:
        return "done"
    last = (error.strip().splitlines() or [""])[-1]
    is_sentence = process.returncode == 2 and last.startswith("error: ")
    return f"a sentence: {last}" if is_sentence and "Traceback" not in error else f"DEFECT: {last}"


def kill_stage(name: str, speech: Path, folder: Path, after_s: float) -> str:
    """Kill a stage after some seconds; says whether it was under way."""
    process = start_stage(name, speech, folder)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=after_s)
        return "had ended"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return f"killed after {after_s:.1f} s"


@contextlib.contextmanager
def fill(disk: Path, free_kb: int) -> Iterator[None]:
    """A disk of which only so many kB are left."""
    status, filler = os.statvfs(disk), disk / "filler"
    with open(filler, "wb") as handle:
        n_bytes = status.f_bavail * status.f_frsize - 1024 * free_kb
        os.posix_fallocate(handle.fileno(), 0, n_bytes)
    yield
    filler.unlink()


@contextlib.contextmanager
def lock(disk: Path) -> Iterator[None]:
    """A disk that is mounted read-only."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def list_results(folder: Path) -> dict[str, str]:
    """Hashes of tables and scores."""
    names = ("data/**/corpus.csv", "data/**/metadata/*.csv", "exp/**/evaluation/*/*.csv")
    found = sorted(path for name in names for path in folder.glob(name))
    return {str(path.relative_to(folder)): hash_file(path) for path in found}


def try_stage(name: str, options: argparse.Namespace, speech: Path, disk: Path) -> list[str]:
    """What came of a stage's faults, and at last of the stage left alone."""
    began = time.monotonic()
    run_stage(name, speech, options.folder / "whole")
    took_s, dice = time.monotonic() - began, random.Random(f"{name} {options.seed}")
    outcomes = []
    for _ in range(options.kills):
        outcomes.append(kill_stage(name, speech, disk, dice.uniform(0, took_s)))
    for free_kb in options.free if name != "preflight" else ():
        with fill(disk, free_kb):
            outcomes.append(f"{free_kb} kB free: {run_stage(name, speech, disk)}")
    if options.read_only:
        with lock(disk):
            outcomes.append(f"read-only: {run_stage(name, speech, disk)}")
    last = run_stage(name, speech, disk)
    return [*outcomes, last if last == "done" else f"DEFECT: {last}"]


def main() -> int:
    """Print what came of every stage; 1 where there is a defect or another result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--free", type=int, nargs="+", default=[], metavar="KB")
    parser.add_argument("--read-only", action="store_true")
    options = parser.parse_args()
    disk, speech = options.folder / "disk", options.folder / "speech"
    write_speakers(speech)
    disk.mkdir(parents=True, exist_ok=True)
    has_disk = bool(options.free or options.read_only)
    if has_disk:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True
        )
    outcomes = []
    try:
        for stage in STAGES:
            found = try_stage(stage.name, options, speech, disk)
            outcomes += found
            print("\n".join(f"stage {stage.number}: {text}" for text in found), flush=True)
        same = list_results(disk) == list_results(options.folder / "whole")
        print(f"{len(list_results(disk))} tables and scores {'the same' if same else 'DIFFER'}")
    finally:
        if has_disk:
            subprocess.run(["umount", disk], check=True)
    return int(not same or any("DEFECT" in text for text in outcomes))


if __name__ == "__main__":
    sys.exit(main())
