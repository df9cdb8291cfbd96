"""The device: CPU or a GPU that was seen to work, its name, and what its memory's errors say."""

import functools
import gc
import logging
import mmap
import os
import re
import warnings
from pathlib import Path
from typing import Any

from separation.environment import describe_cpu
from separation.errors import UserError
from separation.text import explain_briefly

logger = logging.getLogger(__name__)

LEAST_MEMORY = 32 << 20  # bytes, below which torch's own libraries do not look at what they get
# Of various libraries and types, so by their words: PyTorch's allocators, cuBLAS, and cuDNN, which
# finds no engine where none can have its workspace (PyTorch issue 108645).
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "alloc_failed"),
    *("cublas_status_not_initialized", "unable to find an engine to execute this computation"),
)
NVIDIA_DEVICE, NVIDIA_DRIVER = Path("/dev/nvidia0"), Path("/proc/driver/nvidia/version")
# A build of CUDA 12 for older drivers and cards, where PyPI's torch is one of CUDA 13: PyTorch's
# RELEASE.md has it up to 2.14.
OLDER_BUILD = (
    "pip install 'torch=={version}+cu126' --index-url https://download.pytorch.org/whl/cu126"
)


def choose_device(name: str) -> Any:
    """``auto``, ``cpu`` or ``cuda`` as a torch device; a GPU only where it computes.

    ``auto`` warns where the machine has an NVIDIA GPU that torch cannot use.

    Raises:
        UserError: ``cuda``, and there is none that works; the sentence says why.
    """
    import torch

    obstacle = "" if name == "cpu" else find_cuda_obstacle()
    if obstacle and name == "cuda":
        raise UserError(f"--device cuda: {obstacle}; or use --device cpu.")
    if obstacle and NVIDIA_DEVICE.exists():
        _warn_once(f"running on the CPU, though {NVIDIA_DEVICE} is there: {obstacle}.")
    return torch.device("cpu" if obstacle or name == "cpu" else "cuda")


@functools.cache
def _warn_once(sentence: str) -> None:
    logger.warning(sentence)


@functools.cache
def find_cuda_obstacle() -> str:
    """Why torch cannot compute on a GPU here, with the fix, in words; empty where it can.

    One sum is computed, on the GPU of this process. torch's own answer is not enough: it does not
    know of cards that its build has no code for, and after Lightning's import asks less.
    """
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if not torch.cuda.is_available():
                return _explain_absence([str(warning.message) for warning in caught])
            rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
            place = rank if rank < torch.cuda.device_count() else 0
            (torch.zeros(1, device=torch.device("cuda", place)) + 1).item()
        except (RuntimeError, AssertionError) as error:  # the latter: a build without CUDA
            return _explain_failure(error)
    return ""


def _explain_absence(warned: list[str]) -> str:
    """Why torch sees no GPU: its build, its own warning, or none is there."""
    import torch

    if not torch.backends.cuda.is_built():
        return (
            f"the installed torch {torch.__version__} is a build without CUDA; install the one of "
            "PyPI, or of https://pytorch.org/get-started/locally"
        )
    if warned:
        return _explain_failure(RuntimeError(warned[0]))
    return "torch sees no CUDA device"


def _explain_failure(error: BaseException) -> str:
    """What CUDA refused, with driver, build and card, and what to install."""
    import torch

    version = torch.__version__.split("+")[0]
    older = OLDER_BUILD.format(version=version)
    said = explain_briefly(error).rstrip(".")
    build = f"torch {version} is built for CUDA {torch.version.cuda}"
    if "no kernel image" in said or "not compatible with the current" in said:
        fix = f"install a build that has: {older}"
        return f"{build}, without code for {_describe_card()}; {fix}"
    if "driver" in said.lower():
        needed = "580" if (torch.version.cuda or "").startswith("13") else "525"
        driver = f"{build}, which needs a driver of {needed} or later, and {_describe_driver()}"
        return f"{driver} ({said}); update the driver, or install an older build: {older}"
    return f"the GPU does not compute: {said} ({build}, {_describe_driver()}); see nvidia-smi"


def _describe_driver() -> str:
    text = NVIDIA_DRIVER.read_text(encoding="utf-8") if NVIDIA_DRIVER.is_file() else ""
    version = re.search(r"\b\d+\.\d+(\.\d+)?\b", text)
    return f"the driver is {version.group()}" if version else "no driver is loaded"


def _describe_card() -> str:
    import torch

    major, minor = torch.cuda.get_device_capability()
    name = torch.cuda.get_device_name()
    known = ", ".join(torch.cuda.get_arch_list())
    return f"{name} of compute capability {major}.{minor} (it has {known})"


def name_device(device: Any) -> str:
    """A device as results name it."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return describe_cpu()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, cuBLAS or cuDNN had no memory left."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def refuse_full_memory() -> None:
    """Stop before work for which there is no memory: torch would end in a segmentation fault.

    Raises:
        UserError: the system does not give :data:`LEAST_MEMORY`.
    """
    try:
        mmap.mmap(-1, LEAST_MEMORY).close()  # is not touched, so it takes no memory
    except OSError as error:
        raise UserError(
            f"less than {LEAST_MEMORY >> 20} MB of memory are left; free some, or raise the limit "
            "(ulimit -v), and run the same command to go on."
        ) from error


def is_broken(error: BaseException) -> bool:
    """Whether a GPU can be used no more in this process: every later call fails the same way."""
    if is_out_of_memory(error):
        return False
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def free_memory() -> None:
    """Give back what nobody uses, and forget the peak."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
