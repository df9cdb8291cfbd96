"""Where the time of a step goes: torch.profiler's trace, summarised."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile

from benchmarks.gpu.timing import wait_for
from separation.files import write_text

WARM_UP = 3


def profile_step(
    work: Callable[[], None], n_steps: int, device: torch.device, path: Path
) -> dict[str, Any]:
    """A table of a step's kernels in ``path``, the longest first, with milliseconds and calls.

    Returns:
        the milliseconds and the calls of them all.
    """
    for _ in range(WARM_UP):
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
