"""A quota that is used up: every command ends in a sentence, and goes on once there is room.

    python -m tests.faults.quota DIR [--free KB ...] [--only NAME ...]

As root: makes a small btrfs disk in DIR (btrfs-progs), whose quota holds for root too. Each command
runs by itself; then from the same folder with so many kB left of the quota, and once more without.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.kills import (
    Target,
    choose_targets,
    collect,
    copy_folder,
    fork_own_commands,
    list_targets,
    run,
    write_inputs,
)

DISK_BYTES = 3 << 30  # stage 0 asks for 1 GB; the file is sparse


@contextlib.contextmanager
def mount_disk(folder: Path) -> Iterator[Path]:
    """A disk with quotas; yields the part of it that they hold for."""
    folder.mkdir(parents=True, exist_ok=True)
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir(exist_ok=True)
    with image.open("wb") as handle:
        handle.truncate(DISK_BYTES)
    subprocess.run(["mkfs.btrfs", "--quiet", "--force", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        subprocess.run(["btrfs", "quota", "enable", place], check=True)
        subprocess.run(["btrfs", "subvolume", "create", place / "part"], check=True)
        yield place / "part"
    finally:
        subprocess.run(["umount", place], check=True)
        image.unlink()


def set_limit(part: Path, free_kb: int | None) -> None:
    """Leave so many kB of the quota; None: no limit."""
    os.sync()
    words = ["btrfs", "qgroup", "show", "--raw", "--sync", "-f", part]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    group, used, *_ = shown.splitlines()[-1].split()
    limit = "none" if free_kb is None else str(int(used) + 1024 * free_kb)
    # by the disk's folder: within a group that is full it could not be lifted
    subprocess.run(["btrfs", "qgroup", "limit", limit, group, part.parent], check=True)


def try_target(target: Target, folder: Path, frees_kb: list[int], log: Path) -> list[str]:
    """What came of a command with each of these left; leaves it done."""
    before = log.with_name("before")
    copy_folder(folder, before)
    if code := run(target.words, log):
        raise RuntimeError(f"{target.name} ended with {code}: {log.read_text()}")
    whole, outcomes = collect(folder, target), []
    for free_kb in frees_kb:
        copy_folder(before, folder)
        set_limit(folder.parent, free_kb)
        code, said = run(target.words, log), log.read_text()
        set_limit(folder.parent, None)
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        outcome = f"{free_kb} kB left: exit {code} {errors[-1] if errors else ''}"
        if "Traceback" in said or (code and (code not in (1, 2) or not errors)):
            outcome = f"DEFECT: {outcome} {said[-1500:]}"
        if code := run(target.words, log):
            outcome += f" DEFECT: then {code}: {log.read_text()[-1500:]}"
        elif collect(folder, target) != whole:
            outcome += " DEFECT: then other results"
        outcomes.append(outcome)
    return outcomes


def main() -> int:
    """Print what came of every command; 1 where there is a defect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--free", type=int, nargs="+", default=[0, 50], metavar="KB")
    parser.add_argument("--only", nargs="+", default=[], help="commands (all)")
    options = parser.parse_args()
    fork_own_commands()
    n_defects = 0
    with mount_disk(options.folder.resolve()) as part:
        folder = part / "work"
        speech = write_inputs(part)
        folder.mkdir()
        for target in choose_targets(list_targets(folder, speech), options.only):
            if not target.is_stage:
                shutil.rmtree(folder / "out", ignore_errors=True)
            for text in try_target(target, folder, options.free, options.folder / "log.txt"):
                print(f"{target.name}: {text}", flush=True)
                n_defects += "DEFECT" in text
    return int(n_defects > 0)


if __name__ == "__main__":
    sys.exit(main())
