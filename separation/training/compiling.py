"""torch.compile: what it needs here, why it failed, and whether CUDA graphs were recorded."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

# Inductor and Triton run a compiler where the model runs; on PATH, or named by a variable.
COMPILERS = {"cpu": ("CXX", ("g++",)), "cuda": ("CC", ("gcc", "clang"))}
PACKAGES = {"cpu": "a C++ compiler, g++ (Debian, Ubuntu: apt-get install g++)"}
PACKAGES["cuda"] = "a C compiler, gcc or clang (Debian, Ubuntu: apt-get install gcc)"
ERROR_WORDS = ("fatal error:", "error:", "Error:")  # in a compiler's output, the clearest first
HINTS = ("Set TORCHDYNAMO_VERBOSE", "Set TORCH_LOGS", "You can suppress this exception")


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile has all that it needs here."""
    return not find_missing_tool(device)


def find_missing_tool(device: torch.device) -> str:
    """What torch.compile lacks here, in words, with the package that brings it; empty: nothing."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return f"Triton, which is not installed (pip install '{_name_triton()}')"
    variable, names = COMPILERS[device.type]
    asked = os.environ.get(variable)
    if asked and shutil.which(asked.split()[0]) is None:
        return f"a compiler, and the one that {variable}={asked} names is not there"
    if not asked and not any(shutil.which(name) for name in names):
        return f"{PACKAGES[device.type]}, which is not installed"
    folder = Path(sysconfig.get_paths()["include"])
    if not (folder / "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"Python's header file Python.h, which is not in {folder} "
            f"(Debian, Ubuntu: apt-get install python{version}-dev)"
        )
    return ""


def _name_triton() -> str:
    """The requirement of the installed torch, such as ``triton==3.6.0``."""
    needed = [name.split(";")[0].strip() for name in metadata.requires("torch") or []]
    return next((name for name in needed if name.startswith("triton")), "triton")


def explain_compile_error(error: BaseException) -> str:
    """The line that says what went wrong: of the innermost error, and of its last lines.

    Dynamo's errors begin with the backend's name, those of Inductor's worker processes with the
    words that there was one, and both end with hints.

    >>> inner = RuntimeError("Failed to find C compiler")
    >>> explain_compile_error(torch._dynamo.exc.BackendCompilerFailed(print, inner, None))
    'RuntimeError: Failed to find C compiler'
    """
    cause = find_inner_error(error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(HINTS)]
    name = type(cause).__name__
    if not lines:
        return name
    for words in ERROR_WORDS:
        naming = [line for line in lines if words in line]
        if naming:
            return naming[0] if words in ERROR_WORDS[:2] else naming[-1]
    return f"{name}: {lines[0]}"


def find_inner_error(error: BaseException) -> BaseException:
    """The error that Dynamo's and Inductor's own errors were raised for."""
    inner = getattr(error, "inner_exception", None) or error.__cause__
    return find_inner_error(inner) if isinstance(inner, BaseException) else error


def let_bare_split_errors_be_caught() -> None:
    """What SepReformer needs to be compiled for CUDA by torch 2.11, and what changes no other.

    Inductor asks whether loops can run as one kernel by trying to, and takes ``CantSplit`` for no.
    In one of three places that version raises it without its two arguments, so that a TypeError
    ends the compilation (pytorch issue 178676; PR 178886 put it right). Now they have defaults.
    """
    from torch._inductor.codegen.simd import CantSplit

    initialise: Any = CantSplit.__init__
    if not initialise.__defaults__ and initialise.__code__.co_argcount == 3:
        initialise.__defaults__ = ("a size", "the ranges")


def count_graph_skips() -> int:
    """Graphs that Inductor compiled so far and did not record as CUDA graphs."""
    from torch._dynamo.utils import counters

    return counters["inductor"]["cudagraph_skips"]
