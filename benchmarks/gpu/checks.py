"""A first look at a CUDA device: what fails, what waits for the device, what is slow.

    python3 -m benchmarks.gpu.checks [--parts facts,mixing,...] [--recipe MIX/MODEL] [--tiny]

One line a finding; a part that fails costs no other and makes the exit code 1. ``--tiny``: toy
sizes, on any device. Parts: ``facts`` device, versions and what compiling needs; ``mixing`` batches
mixed on the device against the host's; ``step`` compilation, speed, memory and waits of a training
step; ``validation`` of one mixture at a time; ``resume`` with another Adam.
"""

import argparse
import contextlib
import copy
import importlib.util
import itertools
import logging
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.host import measure_phases
from benchmarks.gpu.material import Material
from benchmarks.gpu.settings import TINY, load_settings
from benchmarks.gpu.steps import Batch, ProductStep, make_product_step
from benchmarks.gpu.timing import GIB, describe_device, measure_host, measure_repeats, wait_for
from benchmarks.gpu.validating import compare_forms
from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.environment import ROOT
from separation.mixtures.dynamic.device import DeviceMixer

HOST_BOUND = 0.9  # of a step's time, that the host takes to queue it


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What all parts see."""

    device: torch.device
    recipe: str
    batch: int
    tiny: bool

    def load_conf(self) -> Conf:
        """The recipe at the sizes that are checked."""
        sets: dict[str, Any] = {"batch_size": self.batch, "segment_s": 3.0, "num_workers": 0}
        if self.tiny:
            sets |= {"segment_s": 0.25, "compile": "off"}
        words = [f"training.{key}={value}" for key, value in sets.items()]
        if self.tiny:
            words += [f"model.{key}={value}" for key, value in TINY.items()]
        return load_conf(ROOT, self.recipe, words)

    def make_step(self, **changes: Any) -> ProductStep:
        """Our training step, with other values of keys of the training section."""
        return make_product_step(self.load_conf(), self.device, changes=changes)

    def make_batch(self) -> Batch:
        """Noise: mixtures ``(batch, time)`` and sources ``(batch, 2, time)``."""
        conf = self.load_conf()
        n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
        sources = torch.randn(self.batch, 2, n_samples, device=self.device)
        return sources.sum(1), sources


def report(name: str, text: str) -> None:
    """Print one finding."""
    print(f"{name:36s} {text}", flush=True)


def report_waits(checks: Checks, name: str, work: Callable[[], object]) -> None:
    """Whether ``work`` makes the host wait for the device; where, on stderr."""
    if checks.device.type != "cuda":
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
        report(name, "none")
    except RuntimeError as error:
        report(name, f"YES: {error}")
        traceback.print_exc(limit=-6)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_facts(checks: Checks) -> None:
    """Device, versions, and the three things that compiling needs on CUDA."""
    for key, value in describe_device(checks.device).items():
        report(key, str(value))
    report("CUDA, cuDNN", f"{torch.version.cuda} {torch.backends.cudnn.version()}")
    if checks.device.type == "cuda":
        report("built for", " ".join(torch.cuda.get_arch_list()))
    names = [os.environ.get("CC", ""), "gcc", "cc", "clang"]
    compiler = next(filter(None, map(shutil.which, names)), None)
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    report("triton", str(importlib.util.find_spec("triton") is not None))
    report("C compiler, Python.h", f"{compiler} {header.is_file()}")
    present = [name for name in ("git", "ffmpeg", "nvidia-smi") if shutil.which(name)]
    report("present of git, ffmpeg, nvidia-smi", " ".join(present) or "none")


def check_mixing(checks: Checks) -> None:
    """Batches mixed on the device against the host's, and whether the host waits for them."""
    size = 4
    with tempfile.TemporaryDirectory() as folder:
        mixtures = Material(load_settings(smoke=True), Path(folder)).training
        mixer = DeviceMixer(mixtures, size, checks.device)
        ((mixed, _),) = mixer.batches(3, 1)
        expected = torch.stack([mixtures[3 * size + k][0] for k in range(size)])
        error = float((mixed.cpu() - expected).abs().max())
        report("device mixing against the host", f"{error:.1e} at most (1e-6 is right)")
        report("samples lie on the device", str(mixer.store.is_on_device))
        with contextlib.closing(mixer.batches(0, 60)) as batches:
            next(batches)
            report_waits(checks, "host waits while mixing", lambda: list(batches))


def check_step(checks: Checks) -> None:
    """A training step: compiled or not (the log above says so), speed, memory, waits, guard."""
    if checks.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    step, batch = checks.make_step(), checks.make_batch()
    step.run(batch)
    wait_for(checks.device)
    report("until the first step", f"{time.perf_counter() - began:.1f} s")
    ms = 1e3 * measure_repeats(lambda: step.run(batch), 30, 1, 3, checks.device)[0]
    host_ms = 1e3 * measure_host(lambda: step.run(batch), checks.device)
    for name, phase_ms in measure_phases(step, itertools.repeat(batch), checks.device).items():
        report(f"  the host's {name}", f"{phase_ms:.2f} ms")
    bound = "host" if host_ms > HOST_BOUND * ms else "device"
    report("step", f"{ms:.2f} ms; the host queues it in {host_ms:.2f} ms; bound by the {bound}")
    if checks.device.type == "cuda":
        peak, held = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        report("peak memory", f"{peak / GIB:.2f} GiB, reserved {held / GIB:.2f} GiB")
    step.train_step.read_guards()
    report_waits(checks, "host waits in a step", lambda: [step.run(batch) for _ in range(5)])
    _check_guard(step, batch)


def _check_guard(step: ProductStep, batch: Batch) -> None:
    """A batch that is not finite leaves the weights alone and is counted."""
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    mixtures = batch[0].clone()
    mixtures[0, 0] = float("nan")
    step.run((mixtures, batch[1]))
    step.train_step.read_guards()
    after = step.model.parameters()
    same = all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    report("a NaN batch changes no weight", f"{same}; skipped steps {step.train_step.n_skipped}")


def check_validation(checks: Checks) -> None:
    """Milliseconds of one dev mixture of five seconds, of lengths new and seen."""
    n_samples, n_mixtures = (2000, 3) if checks.tiny else (40000, 20)
    found = compare_forms(checks.load_conf(), n_samples, n_mixtures, checks.device)
    for name, value in found.items():
        report(f"dev mixture, {name}", f"{value:.2f}")


def check_resume(checks: Checks) -> None:
    """Training goes on where ``fused_adam`` is another than before."""
    batch = checks.make_batch()
    for first, second in ((True, True), (True, False), (False, True)):
        one = checks.make_step(compile="off", fused_adam=first)
        one.run(batch)
        state = copy.deepcopy(one.train_step.state_dict())
        two = checks.make_step(compile="off", fused_adam=second)
        try:
            two.train_step.load_state_dict(state)
            two.run(batch)
            text = "ok"
        except (RuntimeError, AssertionError) as error:
            text = f"FAILED: {type(error).__name__}: {error}"
        report(f"resume, fused_adam {first} -> {second}", text)


PARTS: dict[str, Callable[[Checks], None]] = {
    "facts": check_facts,
    "mixing": check_mixing,
    "step": check_step,
    "validation": check_validation,
    "resume": check_resume,
}


def run_parts(checks: Checks, names: list[str]) -> Iterator[str]:
    """Run the parts; yields the names of those that failed."""
    for name in names:
        print(f"-- {name}", flush=True)
        try:
            PARTS[name](checks)
        except Exception as error:  # one part that fails, for whatever reason, costs no other
            report(f"{name} FAILED", f"{type(error).__name__}: {error}")
            traceback.print_exc(limit=-5)
            yield name


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a part failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--recipe", default="librimix/ConvTasNet", metavar="MIX/MODEL")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    args = parser.parse_args(arguments)
    names = args.parts.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"--parts {unknown[0]}: there are {', '.join(PARTS)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    warnings.simplefilter("default")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    batch = 2 if args.tiny else args.batch
    checks = Checks(device=device, recipe=args.recipe, batch=batch, tiny=args.tiny)
    return 1 if list(run_parts(checks, names)) else 0


if __name__ == "__main__":
    sys.exit(main())
