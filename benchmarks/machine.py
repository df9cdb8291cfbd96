"""What a measurement depends on: the commit, the CPU and its instructions."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "fma")


def find_commit() -> str:
    """The commit measured: git's word, or $COMMIT on a machine that holds only a copy."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    named = os.environ.get("COMMIT", "")
    if shutil.which("git") is None or named:
        return named or "unknown"
    return (
        subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    )


def read_cpu() -> str:
    """The processor's name and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores"


def read_flags() -> list[str]:
    """Of :data:`FLAGS` those that the CPU has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    have = next((line.split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in FLAGS if flag in have]


def describe_cpu() -> dict[str, Any]:
    """All of it, for a result's file."""
    return {
        "cpu": read_cpu(),
        "flags": read_flags(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": find_commit(),
    }
