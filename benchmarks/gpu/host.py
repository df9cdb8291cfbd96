"""The host's part of a training step: what it takes to queue each phase on an idle device."""

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from benchmarks.gpu.steps import Batch, ProductStep
from benchmarks.gpu.timing import wait_for
from separation.training import step as training_step


def measure_phases(
    step: ProductStep, batches: Iterator[Batch], device: torch.device, repeats: int = 5
) -> dict[str, float]:
    """Milliseconds of the host by phase, medians; the device is waited for before each."""
    clock = _PhaseClock(device)
    with _clocked(step, clock):
        for _ in range(repeats):
            step.run(next(batches))
    return {name: 1000 * statistics.median(values) for name, values in clock.seconds.items()}


class _PhaseClock:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._began = 0.0

    def start(self, *_: object) -> None:
        wait_for(self.device)
        self._began = time.perf_counter()

    def stop(self, name: str) -> None:
        self.seconds[name].append(time.perf_counter() - self._began)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self.start()
            result = function(*arguments, **options)
            self.stop(name)
            return result

        return timed


@contextlib.contextmanager
def _clocked(step: ProductStep, clock: _PhaseClock) -> Iterator[None]:
    """The phases of :meth:`separation.training.step.TrainStep.run`, timed for a while."""
    module, train_step = step.module, step.train_step
    places: dict[str, tuple[object, str]] = {
        "seed": (torch, "manual_seed"),
        "zero_grad": (train_step.optimizer, "zero_grad"),
        "forward": (module, "estimate"),
        "backward": (train_step.distributed.fabric, "backward"),
        "norm": (training_step, "get_total_norm"),
        "clip": (training_step, "clip_grads_with_norm_"),
        "optimiser": (train_step.optimizer, "step"),
    }
    with contextlib.ExitStack() as stack:
        for name, (owner, attribute) in places.items():
            timed = clock.wrap(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, timed))
        hooks = [
            module.pit_loss.register_forward_pre_hook(clock.start),
            module.pit_loss.register_forward_hook(lambda *_: clock.stop("loss")),
        ]
        yield
    for hook in hooks:
        hook.remove()
