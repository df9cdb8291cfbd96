"""A first look at a CUDA device: what fails, and what waits for it; how fast is throughput.py's.

    python3 -m benchmarks.gpu.checks [--parts facts,mixing,...] [--tiny]

One line a finding; a part that fails costs no other and makes the exit code 1. ``--tiny``: toy
sizes, on any device. Parts: ``facts`` device, versions and what compiling needs; ``mixing`` batches
mixed on the device against the host's; ``step`` compilation, memory and waits of a training step.
"""

import argparse
import contextlib
import logging
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.settings import FULL, SMOKE, Settings
from benchmarks.gpu.steps import Batch, ProductStep, make_product_step
from benchmarks.gpu.timing import GIB, describe_device, wait_for
from benchmarks.voices import pack_folder, write_voices
from separation.device import find_cuda_obstacle
from separation.mixtures.dynamic.device import DeviceMixer
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.training.compiling import find_missing_tool

CONFIG = "best"
MIXED = 4  # items of a batch that is compared


def report(name: str, text: object) -> None:
    """Print one finding."""
    print(f"{name:36s} {text}", flush=True)


def report_waits(device: torch.device, name: str, work: Callable[[], object]) -> None:
    """Whether ``work`` makes the host wait for the device; where, on stderr."""
    if device.type != "cuda":
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


def check_facts(device: torch.device, settings: Settings) -> None:
    """Device, versions, and whether all that compiling needs is there."""
    for key, value in describe_device(device).items():
        report(key, value)
    report("why no GPU", find_cuda_obstacle() or "there is one that computes")
    report("cuDNN; built for", f"{torch.backends.cudnn.version()}; {torch.cuda.get_arch_list()}")
    report("compiling lacks", find_missing_tool(device) or "nothing")
    present = [name for name in ("git", "ffmpeg", "nvidia-smi") if shutil.which(name)]
    report("present of git, ffmpeg, nvidia-smi", " ".join(present) or "none")


def check_mixing(device: torch.device, settings: Settings) -> None:
    """Batches mixed on the device against the host's, and whether the host waits for them."""
    conf = SMOKE.load_conf("small")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_voices(folder / "voices", 8, 3, 1.5, conf.audio.sample_rate)
        audio = pack_folder(folder / "voices", folder / "packed", conf.audio.sample_rate, 8)
        n_samples = round(SMOKE.segment_s * conf.audio.sample_rate)
        mixtures = DynamicMixtures(audio, n_samples, conf.mixtures, 0)
        mixer = DeviceMixer(mixtures, MIXED, device)
        ((mixed, _),) = mixer.batches(3, 1)
        expected = torch.stack([mixtures[3 * MIXED + k][0] for k in range(MIXED)])
        error = float((mixed.cpu() - expected).abs().max())
        report("device mixing against the host", f"{error:.1e} at most (1e-6 is right)")
        report("samples lie on the device", mixer.store.is_on_device)
        with contextlib.closing(mixer.batches(0, 60)) as batches:
            next(batches)
            report_waits(device, "host waits while mixing", lambda: list(batches))


def check_step(device: torch.device, settings: Settings) -> None:
    """A training step: compiled or not (the log above says so), memory, waits, guard."""
    began = time.perf_counter()
    conf = settings.load_conf(CONFIG)
    step, n_samples = make_product_step(conf, device), round(settings.segment_s * 8000)
    sources = torch.randn(settings.batch, 2, n_samples, device=device)
    batch = (sources.sum(1), sources)
    for _ in range(5):
        step.run(batch)
    wait_for(device)
    report("until the fifth step", f"{time.perf_counter() - began:.1f} s")
    if device.type == "cuda":
        peak, held = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        report("peak memory", f"{peak / GIB:.2f} GiB, reserved {held / GIB:.2f} GiB")
    step.train_step.read_guards()
    report_waits(device, "host waits in a step", lambda: [step.run(batch) for _ in range(5)])
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


PARTS: dict[str, Callable[[torch.device, Settings], None]] = {
    "facts": check_facts,
    "mixing": check_mixing,
    "step": check_step,
}


def run_part(name: str, device: torch.device, settings: Settings) -> bool:
    """Run one part; whether it did not fail."""
    print(f"-- {name}", flush=True)
    try:
        PARTS[name](device, settings)
    except Exception as error:  # one part that fails, for whatever reason, costs no other
        report(f"{name} FAILED", f"{type(error).__name__}: {error}")
        traceback.print_exc(limit=-5)
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a part failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    args = parser.parse_args(arguments)
    names = args.parts.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"--parts {unknown[0]}: there are {', '.join(PARTS)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    warnings.simplefilter("default")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    settings = SMOKE if args.tiny else FULL
    failed = [name for name in names if not run_part(name, device, settings)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
