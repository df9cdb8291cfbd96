"""The measurements of the throughput benchmark, most important first."""

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.gpu.floor import count_floor_bytes
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.steps import Batch, Step, make_product_step, make_stock_step
from benchmarks.gpu.timing import (
    measure_bandwidth,
    measure_host,
    measure_repeats,
    profile_step,
    read_peak_gib,
    time_calls,
    wait_for,
)
from benchmarks.gpu.validating import measure_validation
from separation.models.conv_tasnet import ConvTasNetConf

MAX_CALLS = 50
COMPILE_S = 75  # a model for the first time (an H100 with 16 cores)
VALIDATED_LENGTH = 5 / 3  # of the shortest dev mixture, in training segments


def _form(layout: str, own_gradients: str, cuda_graphs: str) -> dict[str, Any]:
    return {"layout": layout, "own_gradients": own_gradients, "cuda_graphs": cuda_graphs}


# What makes our step: keys of the training section, as a user would set them.
FORMS: dict[str, Mapping[str, Any]] = {
    "ours": {},  # as it is shipped
    "bct": _form("bct", "off", "off"),
    "btc": _form("btc", "off", "off"),
    "btc_own": _form("btc", "on", "off"),
    "btc_own_graphs": _form("btc", "on", "on"),
    "btc_kernels_graphs": {**_form("btc", "on", "on"), "block_kernels": True},
    "without_compile": {"compile": "off", "cuda_graphs": "off"},
    "without_bf16": {"precision": "fp32"},
    "without_fused_adam": {"fused_adam": False},
    "without_fused_depthwise": {**_form("bct", "off", "off"), "fused_depthwise": False},
    "without_fused_norm": {**_form("bct", "off", "off"), "fused_norm": False},
    # as a paper's code would train it: eager, float32, torch's own Adam
    "plain": {"compile": "off", "precision": "fp32", "fused_adam": False, "cuda_graphs": "off"},
}
VARIANTS = [name for name in FORMS if name not in ("ours", "plain")]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every case sees.

    Attributes:
        done: results so far, by name; the floor needs the bandwidth.
    """

    settings: Settings
    device: torch.device
    out: Path
    done: dict[str, dict[str, Any]]


class NotHereError(Exception):
    """A case that this machine or this version cannot run; its text says why."""


@dataclass(frozen=True)
class Case:
    """A measurement by name.

    Attributes:
        about_s: what it may take on a GPU, for the time budget, where all is compiled.
        compile_s: further seconds for what torch.compile has not made in an earlier case or call.
    """

    name: str
    measure: Callable[[Bench], dict[str, Any]]
    about_s: float
    compile_s: float = 0.0


def list_cases() -> Iterator[Case]:
    """All cases; those at the end are the first to go when time runs out."""
    yield Case("bandwidth", _measure_bandwidth, 5)
    for conf in ("best", "small"):
        yield from (_make_step_case("stock", conf), _make_step_case("ours", conf))
    for form in ("ours", "btc_own", "stock"):
        yield Case(f"profile_{form}_best", functools.partial(_profile, form=form, conf="best"), 20)
    for conf in ("best", "small"):
        yield Case(f"validation_{conf}", functools.partial(_validate, conf=conf), 15)
    for conf in ("best", "small"):
        yield from (_make_step_case(form, conf) for form in VARIANTS)
    for conf in ("best", "small"):
        yield from (_make_step_case("ours", conf, times) for times in (2, 4, 8))
    yield from (_make_step_case(form, "sepreformer") for form in ("plain", "ours"))
    again = _make_step_case("stock", "best")
    yield Case("stock_best_again", again.measure, again.about_s)  # what the machine did meanwhile


def _make_step_case(form: str, conf: str, times: int = 1) -> Case:
    """A step of a form on a configuration, at so many times its batch."""
    run = functools.partial(_time_step, form=form, conf=conf, times=times)
    compiles = form != "stock" and FORMS[form].get("compile") != "off"
    name = f"{form}_{conf}" + (f"_x{times}" if times > 1 else "")
    return Case(name, run, 15, COMPILE_S * (1 + (conf == "sepreformer")) if compiles else 0)


def make_step(bench: Bench, form: str, name: str, batch: int) -> Step:
    """A training step on a shipped configuration: stock Asteroid's, or of :data:`FORMS`."""
    conf = bench.settings.load_conf(name, batch)
    if form == "stock":
        return make_stock_step(conf, bench.device)
    if FORMS[form].get("cuda_graphs") == "on" and bench.device.type != "cuda":
        raise NotHereError("CUDA graphs need a CUDA device")
    return make_product_step(conf, bench.device, changes=FORMS[form])


def repeat_step(bench: Bench, step: Step, batch: int) -> Callable[[], None]:
    """The step on noise of the configurations' rate and length: no step depends on the values."""
    n_samples = round(bench.settings.segment_s * 8000)
    generator = torch.Generator(bench.device).manual_seed(bench.settings.seed)
    shape = (batch, 2, n_samples)
    sources = 0.1 * torch.randn(shape, generator=generator, device=bench.device)
    items: Batch = (sources.sum(1), sources)

    def run() -> None:
        step.run(items)

    return run


def _measure_bandwidth(bench: Bench) -> dict[str, Any]:
    n_bytes = bench.settings.bandwidth_bytes
    return {"bytes_per_s": measure_bandwidth(bench.device, n_bytes), "buffer_bytes": n_bytes}


def _time_step(bench: Bench, form: str, conf: str, times: int) -> dict[str, Any]:
    settings, device = bench.settings, bench.device
    batch = times * settings.choose_batch(conf)
    counters.clear()
    began = time.perf_counter()
    step = make_step(bench, form, conf, batch)
    work = repeat_step(bench, step, batch)
    work()
    wait_for(device)
    first_s = time.perf_counter() - began
    for _ in range(settings.warm_up):
        work()
    n_calls = round(settings.repeat_s / time_calls(work, 1, device))
    n_calls = min(MAX_CALLS, max(1, n_calls))
    seconds = measure_repeats(work, n_calls, settings.repeats, 0, device)
    found: dict[str, Any] = {
        "batch": batch,
        "ms": {
            "median": 1000 * statistics.median(seconds),
            "low": 1000 * min(seconds),
            "high": 1000 * max(seconds),
        },
        "audio_s_per_s": batch * settings.segment_s / statistics.median(seconds),
        "steps_a_repeat": n_calls,
        "host_ms": 1000 * measure_host(work, device),
        "until_first_step_s": first_s,
        "peak_gib": read_peak_gib(device),
        "compiled_graphs": counters["stats"].get("unique_graphs", 0),
    }
    return found | _compare_floor(bench, step, conf, batch, found["ms"]["median"])


def _compare_floor(bench: Bench, step: Step, name: str, batch: int, ms: float) -> dict[str, Any]:
    """The time of the bytes that must be moved at the measured bandwidth, and the share of it."""
    conf = bench.settings.load_conf(name)
    bandwidth = bench.done.get("bandwidth", {}).get("bytes_per_s")
    if not isinstance(conf.model, ConvTasNetConf) or not bandwidth:
        return {}
    n_samples = round(bench.settings.segment_s * conf.audio.sample_rate)
    n_parameters = sum(parameter.numel() for parameter in step.model.parameters())
    n_bytes = count_floor_bytes(conf.model, n_parameters, batch, n_samples, step.bytes_per_value)
    floor_ms = 1000 * n_bytes / bandwidth
    return {"floor_bytes": n_bytes, "floor_ms": floor_ms, "floor_share": floor_ms / ms}


def _validate(bench: Bench, conf: str) -> dict[str, Any]:
    whole = bench.settings.load_conf(conf)
    shortest = VALIDATED_LENGTH * bench.settings.segment_s * whole.audio.sample_rate
    return measure_validation(whole, round(shortest), bench.settings.validated, bench.device)


def _profile(bench: Bench, form: str, conf: str) -> dict[str, Any]:
    batch = bench.settings.choose_batch(conf)
    work = repeat_step(bench, make_step(bench, form, conf, batch), batch)
    path = bench.out / f"profile_{form}_{conf}.txt"
    return profile_step(work, bench.settings.profiled_steps, bench.device, path)
