"""Where the project runs: repository, package versions, commit, CPU."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


PACKAGES = ("torch", "pytorch-lightning", "asteroid", "numpy", "scipy", "soundfile", "g722")


def find_version(package: str) -> str:
    """Version of an installed package, or empty."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def format_command(*words: str) -> str:
    """The command line, typed in the repository root, that runs a command with this interpreter.

    For messages: ``python`` is there only where a virtual environment is active.
    """
    interpreter = Path(sys.executable)
    if os.environ.get("VIRTUAL_ENV") == sys.prefix:
        interpreter = Path("python")
    elif interpreter.is_relative_to(ROOT):
        interpreter = interpreter.relative_to(ROOT)
    return shlex.join([str(interpreter), "-m", "separation", *words])


def format_run(*words: str) -> str:
    """The command line, typed in the repository root, that runs a recipe's stages.

    >>> format_run("--recipe", "mini/ConvTasNet", "--corpus", "speech=my speech")
    "bash run.sh --recipe mini/ConvTasNet --corpus 'speech=my speech'"
    """
    return shlex.join(["bash", "run.sh", *words])


def read_commit() -> str:
    """The checkout's commit, marked where files differ; empty where there is no git.

    ``SEPARATION_COMMIT`` names that of a copy, whose own git knows nothing of it, if any.
    """
    stated = os.environ.get("SEPARATION_COMMIT", "")
    if stated or not shutil.which("git"):
        return stated
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def describe_cpu() -> str:
    """The CPU as results name it."""
    return f"CPU {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
