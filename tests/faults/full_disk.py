"""Every stage on a disk that fills up: one sentence, and the same result once there is room.

    python -m tests.faults.full_disk DIR [--free KB ...]

Needs root, for a small disk in memory (tmpfs) below DIR. A folder of synthetic speakers goes
through all stages there, each first with so many kB free, then with room; the tables' text and the
scores are compared with those of a run on the other disk.
"""

import argparse
import os
import subprocess
import sys
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


def run_stage(name: str, speech: Path, folder: Path) -> subprocess.CompletedProcess:
    """One stage in a process of its own, data and experiments below a folder."""
    words = ["--recipe", "folder/ConvTasNet", "--corpus", f"speech={speech}", "--nj", "1"]
    words += ["--data", str(folder / "data"), "--exp", str(folder / "exp"), "--device", "cpu"]
    words += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return subprocess.run(
        [sys.executable, "-m", "separation", name, *words],
        cwd=ROOT, text=True, capture_output=True, env=os.environ | {"TMPDIR": "/tmp"},
    )  # fmt: skip


def fill(disk: Path, free_kb: int) -> Path:
    """A file that leaves so many kB of a disk."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    with open(filler, "wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, status.f_bavail * status.f_frsize - 1024 * free_kb)
    return filler


def describe(done: subprocess.CompletedProcess) -> str:
    """``done``, ``a sentence``, or what else a process said last."""
    if done.returncode == 0:
        return "done"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    is_sentence = done.returncode == 2 and last.startswith("error: ")
    return "a sentence" if is_sentence and "Traceback" not in done.stderr else f"DEFECT: {last}"


def list_results(folder: Path) -> dict[str, str]:
    """Hashes of tables and scores."""
    names = ("data/**/corpus.csv", "data/**/metadata/*.csv", "exp/**/evaluation/*/*.csv")
    found = sorted(path for name in names for path in folder.glob(name))
    return {str(path.relative_to(folder)): hash_file(path) for path in found}


def main() -> int:
    """Print what came of every stage; 1 where there is a defect or another result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--free", type=int, nargs="+", default=[0, 20], metavar="KB")
    options = parser.parse_args()
    disk, speech = options.folder / "disk", options.folder / "speech"
    write_speakers(speech)
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True)
    outcomes = []
    try:
        for stage in STAGES:
            for free_kb in options.free if stage.number else ():
                filler = fill(disk, free_kb)
                outcomes.append(describe(run_stage(stage.name, speech, disk)))
                print(f"stage {stage.number}, {free_kb} kB free: {outcomes[-1]}", flush=True)
                filler.unlink()
            outcomes.append(
                describe(run_stage(stage.name, speech, disk)).replace("a sentence", "DEFECT")
            )
            run_stage(stage.name, speech, options.folder / "whole")
        same = list_results(disk) == list_results(options.folder / "whole")
        print(f"{len(list_results(disk))} tables and scores {'the same' if same else 'DIFFER'}")
    finally:
        subprocess.run(["umount", disk], check=True)
    return int(not same or any("DEFECT" in own for own in outcomes))


if __name__ == "__main__":
    sys.exit(main())
