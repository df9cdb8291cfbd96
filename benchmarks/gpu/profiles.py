"""Where the time of a step goes: torch.profiler's trace, summarised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.steps import Step
from separation.files import write_text

WARM_UP = 3
TOP = 15
NAME_LENGTH = 90


def profile_step(
    step: Step, batches: Iterator, n_steps: int, device: torch.device, path: Path
) -> dict[str, Any]:
    """The kernels that take most of the step, and a text table of them all in ``path``.

    Returns:
        ``total_ms`` of a step's kernels and ``top``: rows ``name, calls, ms, share`` a step.
    """
    for _ in range(WARM_UP):
        step.run(next(batches))
    on_device = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_device
    with profile(activities=activities) as trace:
        for _ in range(n_steps):
            step.run(next(batches))
        if on_device:
            torch.cuda.synchronize(device)
    events = trace.key_averages()
    column = "self_device_time_total" if on_device else "self_cpu_time_total"
    if on_device:  # operators that launch kernels, and marks around them, have their time again
        events = [
            event
            for event in events
            if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
        ]
    rows = sorted(
        ((event.key, event.count, getattr(event, column)) for event in events),
        key=lambda row: -row[2],
    )
    total_us = sum(time_us for _, _, time_us in rows)
    found = [_make_row(row, n_steps, total_us) for row in rows if row[2] > 0]
    lines = [
        f"{r['ms']:10.4f} ms {r['share']:6.1%} {r['calls']:8.1f} x  {r['name']}" for r in found
    ]
    write_text(path, "\n".join(lines) + "\n")
    return {"total_ms": total_us / 1000 / n_steps, "top": found[:TOP], "kernels": len(found)}


def _make_row(row: tuple[str, int, float], n_steps: int, total_us: float) -> dict[str, Any]:
    name, calls, time_us = row
    return {
        "name": name[:NAME_LENGTH],
        "calls": calls / n_steps,
        "ms": time_us / 1000 / n_steps,
        "share": time_us / total_us,
    }
