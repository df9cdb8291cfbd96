"""The measurements of the throughput benchmark, most important first."""

import dataclasses
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.gpu.floor import count_floor_bytes
from benchmarks.gpu.host import measure_phases
from benchmarks.gpu.material import Material
from benchmarks.gpu.measures import MEASURES, Measure, list_names
from benchmarks.gpu.profiles import profile_step
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.steps import (
    ProductStep,
    Step,
    make_product_step,
    make_stock_step,
)
from benchmarks.gpu.timing import (
    describe_spread,
    measure_bandwidth,
    measure_host,
    measure_repeats,
    read_peak_gib,
    time_calls,
    wait_for,
)
from benchmarks.gpu.validating import measure_validation
from separation.models.conv_tasnet import ConvTasNetConf

MAX_CALLS = 50
PLAIN = {"compile": "off", "precision": "fp32", "fused_adam": False, "cuda_graphs": "off"}
COMPILE_S = 75  # a model for the first time (an H100 with 16 cores)


@dataclass
class Bench:
    """What every case sees.

    Attributes:
        done: results so far, by name: the floor needs the bandwidth, the growth the batch before.
    """

    settings: Settings
    material: Material
    device: torch.device
    out: Path
    done: dict[str, dict[str, Any]]

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second that the device copies, once measured."""
        return self.done.get("bandwidth", {}).get("bytes_per_s")


class NotHereError(Exception):
    """A case that this machine or this version cannot run; its text says why."""


@dataclass(frozen=True)
class Case:
    """A measurement by name.

    Attributes:
        about_s: what it may take on a GPU, for the time budget, where nothing is compiled.
        compile_s: further seconds for what torch.compile has not made in an earlier case or call.
    """

    name: str
    measure: Callable[[Bench], dict[str, Any]]
    about_s: float
    compile_s: float = 0.0


def list_cases(settings: Settings) -> Iterator[Case]:
    """All cases; those at the end are the first to go when time runs out."""
    yield Case("bandwidth", _measure_bandwidth, 5)
    for conf in ("best", "small"):
        yield Case(f"stock_{conf}", functools.partial(_step, kind="stock", conf=conf), 15)
        yield Case(f"ours_{conf}", functools.partial(_step, kind="ours", conf=conf), 12, COMPILE_S)
    yield Case("profile_ours_best", functools.partial(_profile, kind="ours"), 25)
    yield Case("profile_stock_best", functools.partial(_profile, kind="stock"), 15)
    yield Case("profile_btc_best", functools.partial(_profile, kind="btc"), 25)
    for conf in ("best", "small"):
        yield Case(f"validation_{conf}", functools.partial(measure_validation, name=conf), 15)
    for name, (measure, conf) in list_names().items():
        run = functools.partial(_measure, measure=MEASURES[measure], conf=conf)
        yield Case(name, run, 12, COMPILE_S * MEASURES[measure].compiles)
    for kind, conf in itertools.product(("ours", "stock"), ("best", "small")):
        for times in settings.growth:
            grow = functools.partial(_grow, kind=kind, conf=conf, times=times)
            yield Case(f"{kind}_{conf}_x{times}", grow, 15, COMPILE_S * (kind == "ours"))
    for kind, compile_s in (("plain", 0), ("ours", 2 * COMPILE_S)):
        step = functools.partial(
            _step, kind=kind, conf="sepreformer", batch=settings.sepreformer_batch
        )
        yield Case(f"{kind}_sepreformer", step, 20, compile_s)
    yield Case("stock_best_again", functools.partial(_step, kind="stock", conf="best"), 15)


def _measure_bandwidth(bench: Bench) -> dict[str, Any]:
    n_bytes = bench.settings.bandwidth_bytes
    return {"bytes_per_s": measure_bandwidth(bench.device, n_bytes), "buffer_bytes": n_bytes}


def make_step(bench: Bench, kind: str, name: str, batch: int | None = None) -> Step:
    """A step on a shipped configuration: stock's, ours, or plain.

    Plain is our code as a paper's would be: eager, float32, torch's own Adam.
    """
    conf = bench.settings.confs[name]
    training = dataclasses.replace(conf.training, batch_size=batch or bench.settings.batch)
    conf = dataclasses.replace(conf, training=training)
    if kind == "stock":
        return make_stock_step(conf, bench.device)
    return make_product_step(conf, bench.device, changes=PLAIN if kind == "plain" else {})


def _step(bench: Bench, kind: str, conf: str, batch: int | None = None) -> dict[str, Any]:
    return _time_step(bench, conf, lambda: make_step(bench, kind, conf, batch), batch)


def _measure(bench: Bench, measure: Measure, conf: str) -> dict[str, Any]:
    if measure.needs_cuda and bench.device.type != "cuda":
        raise NotHereError("CUDA graphs need a CUDA device")
    return _time_step(bench, conf, lambda: make_measured(bench, measure, conf), None)


def make_measured(bench: Bench, measure: Measure, conf: str) -> Step:
    """Our step with a measure off, or one more."""
    return make_product_step(bench.settings.confs[conf], bench.device, changes=measure.changes)


def _time_step(
    bench: Bench, conf: str, make: Callable[[], Step], batch: int | None
) -> dict[str, Any]:
    settings, device = bench.settings, bench.device
    batch = batch or settings.batch
    batches = bench.material.make_batches(batch, device)
    counters.clear()
    began = time.perf_counter()
    step = make()
    work = functools.partial(_run_next, step, batches)
    work()
    wait_for(device)
    first_s = time.perf_counter() - began
    for _ in range(settings.warm_up):
        work()
    one_s = time_calls(work, 1, device)
    n_calls = min(MAX_CALLS, max(1, round(settings.repeat_s / one_s)))
    seconds = measure_repeats(work, n_calls, settings.repeats, 0, device)
    found: dict[str, Any] = {
        "batch": batch,
        "ms": describe_spread([1000 * value for value in seconds]),
        "audio_s_per_s": batch * settings.segment_s / statistics.median(seconds),
        "steps_a_repeat": n_calls,
        "host_ms": 1000 * measure_host(work, device),
        "host_phases_ms": (
            measure_phases(step, batches, device) if isinstance(step, ProductStep) else {}
        ),
        "until_first_step_s": first_s,
        "peak_gib": read_peak_gib(device),
        "compiled_graphs": counters["stats"].get("unique_graphs", 0),
    }
    return found | _compare_floor(bench, conf, batch, step.bytes_per_value, found["ms"]["median"])


def _run_next(step: Step, batches: Iterator) -> None:
    step.run(next(batches))


def _compare_floor(
    bench: Bench, conf: str, batch: int, bytes_per_value: int, ms: float
) -> dict[str, Any]:
    """The bytes that must be moved, their time at the measured bandwidth, and the share of it."""
    model = bench.settings.confs[conf].model
    if not isinstance(model, ConvTasNetConf):
        return {"bytes_per_value": bytes_per_value}
    n_bytes = count_floor_bytes(model, batch, bench.settings.n_samples, bytes_per_value)
    floor: dict[str, Any] = {"bytes_per_value": bytes_per_value, "floor_bytes": n_bytes}
    if bench.bandwidth:
        floor["floor_ms"] = 1000 * n_bytes / bench.bandwidth
        floor["floor_share"] = floor["floor_ms"] / ms
    return floor


def _grow(bench: Bench, kind: str, conf: str, times: int) -> dict[str, Any]:
    """A larger batch, as long as the one before it paid and fitted."""
    growth = bench.settings.growth
    before = f"_x{growth[growth.index(times) - 1]}" if times != growth[0] else ""
    previous = bench.done.get(f"{kind}_{conf}{before}", {})
    if previous.get("status") != "ok":
        raise NotHereError("the smaller batch gave no result")
    if previous.get("gain", bench.settings.pays) < bench.settings.pays:
        raise NotHereError("the smaller batch did not pay")
    found = _step(bench, kind, conf, times * bench.settings.batch)
    return found | {"gain": found["audio_s_per_s"] / previous["audio_s_per_s"]}


def _profile(bench: Bench, kind: str) -> dict[str, Any]:
    batches = bench.material.make_batches(bench.settings.batch, bench.device)
    path = bench.out / f"profile_{kind}_best.txt"
    if kind == "btc":
        step = make_measured(bench, MEASURES["btc_own"], "best")
    else:
        step = make_step(bench, kind, "best")
    return profile_step(step, batches, bench.settings.profiled_steps, bench.device, path)
