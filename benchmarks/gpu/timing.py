"""Clocks, a profile, memory and the device's own bandwidth."""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile

from benchmarks.machine import find_commit
from separation.device import NVIDIA_DRIVER, free_memory
from separation.files import write_text

GIB = 1 << 30


def time_calls(call: Callable[[], Any], n_calls: int, device: torch.device) -> float:
    """Seconds of ``n_calls`` calls on the device: CUDA events there, the clock on a CPU."""
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(n_calls):
            call()
        return time.perf_counter() - began
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(n_calls):
        call()
    stop.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(stop) / 1000


def measure_repeats(
    call: Callable[[], Any], n_calls: int, repeats: int, warm_up: int, device: torch.device
) -> list[float]:
    """Seconds of one call, once for each repeat of ``n_calls``; the warm-up is not counted."""
    for _ in range(warm_up):
        call()
    return [time_calls(call, n_calls, device) / n_calls for _ in range(repeats)]


def measure_host(call: Callable[[], Any], device: torch.device, repeats: int = 7) -> float:
    """Seconds that the host takes to queue one call, while the device has nothing else to do.

    One at a time: a full queue (some 1,000 kernels) makes the host wait for the device.
    """
    seconds = []
    for _ in range(repeats):
        wait_for(device)
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    wait_for(device)
    return statistics.median(seconds)


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_bandwidth(device: torch.device, n_bytes: int, repeats: int = 10) -> float:
    """Bytes a second that a copy moves on the device, counting those read and those written."""
    source = torch.randint(0, 255, (n_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = measure_repeats(lambda: target.copy_(source), 3, repeats, 3, device)
    return 2 * n_bytes / statistics.median(seconds)


def profile_step(
    work: Callable[[], None], n_steps: int, device: torch.device, path: Path
) -> dict[str, Any]:
    """A table of a step's kernels in ``path``, the longest first, with milliseconds and calls.

    Returns:
        the milliseconds and the calls of them all.
    """
    for _ in range(3):
        work()
    with profile() as trace:
        for _ in range(n_steps):
            work()
        wait_for(device)
    events = [(read_time_us(event, device), event) for event in trace.key_averages()]
    rows = [
        (time_us / 1000 / n_steps, event.count / n_steps, event.key)
        for time_us, event in sorted(events, key=lambda pair: -pair[0])
        if time_us > 0
    ]
    total_ms, calls = sum(ms for ms, _, _ in rows), sum(number for _, number, _ in rows)
    lines = [f"{ms:10.4f} ms {ms / total_ms:6.1%} {n:8.1f} x  {key[:90]}" for ms, n, key in rows]
    write_text(path, "\n".join(lines) + "\n")
    return {"total_ms": total_ms, "calls": calls}


def read_time_us(event: Any, device: torch.device) -> float:
    """Of a kernel; 0 of operators that launch some and of marks, which have their time again."""
    if device.type != "cuda":
        return event.self_cpu_time_total
    is_kernel = event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
    return event.self_device_time_total if is_kernel else 0.0


def reset_memory() -> None:
    """Free what a case left, compiled code too, and begin to count the peak anew."""
    gc.collect()
    torch._dynamo.reset()
    free_memory()


def read_peak_gib(device: torch.device) -> float | None:
    """Most memory that tensors took since :func:`reset_memory`; None on a CPU."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / GIB, 3)


def describe_device(device: torch.device) -> dict[str, Any]:
    """What a timing depends on."""
    facts: dict[str, Any] = {
        "type": device.type,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": find_commit(),
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "tf32_products": torch.backends.cuda.matmul.allow_tf32,
    }
    if device.type != "cuda":
        return facts | {"name": f"CPU {platform.machine()}"}
    properties = torch.cuda.get_device_properties(device)
    driver = NVIDIA_DRIVER.read_text() if NVIDIA_DRIVER.is_file() else ""
    return facts | {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / GIB, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "driver": driver.partition("\n")[0],
    }
