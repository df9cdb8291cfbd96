"""Micro-batch: how many mixtures fit the device at once, tried before training, or computed.

:func:`fit_micro_batch` tries real steps on the device, :func:`enlarge_micro_batch` compiled ones.
:class:`StepMemory` computes what a step of any batch takes, from small measurements on the CPU, for
the table of docs/which-gpu.md.
"""

import contextlib
import copy
import dataclasses
import functools
import logging
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from separation.config.schema import Conf
from separation.config.training import TrainingConf
from separation.device import free_memory, is_out_of_memory
from separation.errors import UserError
from separation.models.architecture import find_training_pass
from separation.text import explain_briefly
from separation.training.distributed import Distributed
from separation.training.loss import make_pit_loss
from separation.training.module import SeparationModule

logger = logging.getLogger(__name__)

MARGIN = 0.1  # of what a step took, kept free: fragments, other lengths, other processes
NCCL_BYTES = 2**30  # assumed: its buffers between GPUs, which come after the trial
ADAM_STATES = 2  # running means of the gradient and of its square
# While the backward pass frees what was saved, it holds a few gradients of the widest activation.
WORKING_TENSORS = 4
SHORT, LONG = 1, 2  # items and lengths of a measurement


def prepare_fitting(conf: Conf, module: SeparationModule, distributed: Distributed) -> Conf:
    """Fit the batch to a GPU's memory, compile, and take larger pieces if compiled ones fit.

    Raises:
        UserError: not even one mixture fits, or ``training.compile=on`` cannot be had here.
    """
    fitting = fit_micro_batch(conf, module, distributed)
    module.conf = fitting.training
    module.prepare(round(conf.training.segment_s * conf.audio.sample_rate))
    is_tried = fitting.training.micro_batch != conf.training.micro_batch
    if is_tried and module.is_compiled:
        return enlarge_micro_batch(fitting, module, distributed)
    return fitting


def fit_micro_batch(conf: Conf, module: SeparationModule, distributed: Distributed) -> Conf:
    """Choose ``training.micro_batch`` where it is 0: the largest whose step fits the device.

    Eager steps are tried, which take at least what compiled ones take. All processes take the
    smallest micro-batch that fits one of them.

    Args:
        conf: with ``training.batch_size`` as the effective batch.
        module: on its device; its weights and the random numbers are left as they are.
        distributed: the processes.

    Returns:
        ``conf`` with that micro-batch; it stays 0 where the process's whole share fits.

    Raises:
        UserError: not even one mixture fits.
    """
    training = conf.training
    if training.micro_batch:
        return conf
    share, failure = training.forward_items, None
    try:
        hold_margin = functools.partial(hold_cuda_margin, distributed.world_size)
        attempt = functools.partial(try_step, conf, module)
        n_pieces = share / find_micro_batch(attempt, share, hold_margin)
    except UserError as error:  # raised once the other processes know, which wait for this one
        failure, n_pieces = error, math.inf
    n_pieces = distributed.all_reduce_max([n_pieces])[0]
    if math.isinf(n_pieces):
        raise failure or UserError("another process could not fit a single mixture; see its error.")
    pieces = round(n_pieces)
    return set_micro_batch(conf, 0 if pieces == 1 else share // pieces)


def enlarge_micro_batch(
    conf: Conf,
    module: SeparationModule,
    distributed: Distributed,
    measure: Callable[[SeparationModule], tuple[int, int]] | None = None,
) -> Conf:
    """Compile once more for larger pieces, where those that are compiled leave enough memory.

    Pieces are fitted with eager steps, which may take three times as much as compiled ones.

    Args:
        conf: with a ``micro_batch`` that fits.
        module: compiled for it.
        distributed: the processes; all take the same.
        measure: a compiled step's bytes and those that are free beside it; None: those of CUDA.

    Returns:
        ``conf`` as it is, or with the larger pieces for which the module is compiled now.
    """
    share = conf.training.batch_size // conf.training.n_processes
    step_bytes, free_bytes = (measure or measure_compiled_step)(module)
    room = free_bytes / (1 + MARGIN) * conf.training.micro_batch / max(1, step_bytes)
    size = next(k for k in list_divisors(share) if k <= room or k <= conf.training.micro_batch)
    size = share // round(distributed.all_reduce_max([share / size])[0])
    if size <= conf.training.micro_batch:
        return conf
    larger = set_micro_batch(conf, 0 if size == share else size)
    attempt = functools.partial(_try_compiled, module)
    hold_margin = functools.partial(hold_cuda_margin, distributed.world_size)
    undo = module.recompile(larger.training)
    fails = undo is None or bool(find_shortage(attempt, size, hold_margin))
    if distributed.all_reduce_max([fails])[0]:
        if undo is not None:
            undo()
        free_memory()
        return conf
    logger.info("compiled, %d of %d mixtures fit the device at once", size, share)
    return larger


def measure_compiled_step(module: SeparationModule) -> tuple[int, int]:
    """Bytes that a compiled step takes at its peak, and that are free on the GPU without it."""
    free_memory()
    held = torch.cuda.memory_allocated()
    _try_compiled(module, module.conf.forward_items)
    peak = torch.cuda.max_memory_allocated() - held
    free_memory()
    n_states = ADAM_STATES + 2  # and gradients, and an average of the weights
    states = n_states * sum(p.numel() * p.element_size() for p in module.model.parameters())
    return peak, torch.cuda.mem_get_info()[0] - states


def _try_compiled(module: SeparationModule, n_items: int) -> None:
    """A step's forward and backward pass on noise; leaves no gradients."""
    noise = torch.randn(n_items, module.n_samples, device=module.device)
    try:
        module.estimate(noise).square().mean().backward()
    finally:
        module.zero_grad()


@contextlib.contextmanager
def naming_full_memory(
    conf: TrainingConf, step: int, *, in_validation: bool = False
) -> Iterator[None]:
    """Turn a device's lack of memory in a training step, or in validation, into one sentence.

    Raises:
        UserError: there was not enough; the process ends, and with it those that wait for it.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        smaller = next((k for k in list_divisors(conf.forward_items)[1:]), 1)
        what, fix = f"{conf.forward_items} mixtures at once", f"training.micro_batch={smaller}"
        if in_validation:  # where the graph of a recorded step keeps its activations
            what = "one dev mixture"
            fix = "training.cuda_graphs=off" if conf.cuda_graphs != "off" else fix
        raise UserError(
            f"step {step}: the device has no memory left for {what} ({explain_briefly(error)}); "
            f"free it of other programs, or set {fix}, and run the same command to go on from the "
            "last checkpoint."
        ) from error


def set_micro_batch(conf: Conf, size: int) -> Conf:
    """The recipe with pieces of this size, 0: whole; a step in pieces has no CUDA graph."""
    changes: dict[str, Any] = {"micro_batch": size}
    if size and conf.training.cuda_graphs == "on":
        text = "no CUDA graphs (training.cuda_graphs): the batch goes through in pieces of %d"
        logger.warning(text, size)
        changes["cuda_graphs"] = "off"
    return dataclasses.replace(conf, training=dataclasses.replace(conf.training, **changes))


def try_step(conf: Conf, module: SeparationModule, n_items: int) -> None:
    """A training step on noise with a copy of the model, which is then dropped."""
    trial = SeparationModule(copy.deepcopy(module.model), conf.training)
    trial.to(module.device)
    trial.prepare_eager()
    optimizer = trial.configure_optimizers()
    generator = torch.Generator(device=module.device).manual_seed(0)
    n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
    shape = (n_items, conf.mixtures.n_src, n_samples)
    sources = torch.randn(shape, generator=generator, device=module.device)
    on_gpu = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(on_gpu):  # dropout draws
        trial.training_step((sources.sum(1), sources), 0).backward()
        optimizer.step()
        # once more, beside the gradients of an earlier piece and the optimiser's state
        trial.training_step((sources.sum(1), sources), 0).backward()


def find_micro_batch(
    try_step: Callable[[int], None],
    batch_size: int,
    hold_margin: Callable[[], object] | None = None,
) -> int:
    """The largest divisor of the batch of which a whole training step fits the device.

    Each candidate runs twice: the second time a tenth of the memory that the first one took at
    its peak is held back, so that training does not end at a later, unluckier step.

    Args:
        try_step: forward, backward and optimiser step of so many items; leaves no trace.
        batch_size: the effective batch; ``batch_size / result`` steps are accumulated.
        hold_margin: takes the memory of the second run and returns what holds it; None: a tenth of
            CUDA's peak, nothing without CUDA.

    Raises:
        UserError: not even one item fits.
    """
    free_memory()
    shortage = ""
    for size in list_divisors(batch_size):
        shortage = find_shortage(try_step, size, hold_margin or hold_cuda_margin)
        if not shortage:
            if size < batch_size:
                logger.info("%d of %d mixtures fit the device at once", size, batch_size)
            return size
    raise UserError(
        f"training.batch_size={batch_size}: not even one mixture fits the device's memory "
        f"({shortage}); lower training.segment_s, choose a smaller model or use --device cpu."
    )


def find_shortage(
    try_step: Callable[[int], None], size: int, hold_margin: Callable[[], object]
) -> str:
    """Run a step twice, the second time with a margin held; what lacks memory says, or nothing."""
    held: object = None
    shortage = ""
    try:
        try_step(size)
        held = hold_margin()
        try_step(size)
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not is_out_of_memory(error):
            raise
        shortage = explain_briefly(error)
    # Only now: the error held the frames, and they the step's tensors.
    del held
    free_memory()
    return shortage


def hold_cuda_margin(world_size: int = 1) -> object:
    """Memory that stays free: a tenth of CUDA's peak, and NCCL's where there are processes."""
    if not torch.cuda.is_available():
        return None
    n_bytes = int(MARGIN * torch.cuda.max_memory_allocated())
    n_bytes += NCCL_BYTES if world_size > 1 else 0
    return torch.empty(n_bytes, dtype=torch.uint8, device="cuda")


def list_divisors(number: int) -> list[int]:
    """All divisors, the largest first.

    >>> list_divisors(24)
    [24, 12, 8, 6, 4, 3, 2, 1]
    """
    return [k for k in range(number, 0, -1) if number % k == 0]


@dataclass(frozen=True, kw_only=True)
class StepBytes:
    """Memory of a training step in bytes, computed."""

    parameters: int
    gradients: int
    optimiser: int  # state
    activations: int  # saved for the backward pass
    working: int  # of the backward pass itself, see WORKING_TENSORS

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimiser + self.activations + self.working


class StepMemory:
    """Memory of training steps of any batch and length, from three small measurements on the CPU.

    What a step saves is a constant (such as weights in another precision), a part that goes with
    the batch, and a part that goes with batch times length. Dividing what autograd packs by
    storage counts each once; parameters, which it packs too, are left out.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)``, in the form that will train.
        precision: ``fp32`` or ``bf16`` (autocast by CUDA's rules).
        n_samples: of the shorter measurement; the longer has twice as many.
    """

    def __init__(self, model: nn.Module, precision: str, n_samples: int) -> None:
        self._model = model
        self._n_samples = n_samples
        short = measure_saved(model, SHORT, SHORT * n_samples, precision)
        long = measure_saved(model, SHORT, LONG * n_samples, precision)
        wide = measure_saved(model, LONG, SHORT * n_samples, precision)
        self._by_length = (long[0] - short[0]) / n_samples
        by_item = wide[0] - short[0]
        self._by_item = by_item - self._by_length * n_samples
        self._constant = short[0] - by_item
        self._widest_by_length = (long[1] - short[1]) / n_samples

    def estimate(self, batch: int, n_samples: int) -> StepBytes:
        """Bytes of a step of ``batch`` items of ``n_samples`` with Adam."""
        parameters = count_bytes(self._model)
        saved = self._constant + batch * (self._by_item + self._by_length * n_samples)
        working = WORKING_TENSORS * batch * self._widest_by_length * n_samples
        return StepBytes(
            parameters=parameters,
            gradients=parameters,
            optimiser=ADAM_STATES * parameters,
            activations=round(saved),
            working=round(working),
        )


def estimate_step_bytes(
    model: nn.Module, n_samples: int, batch: int, precision: str, measured_samples: int = 2000
) -> StepBytes:
    """Memory of one training step with Adam: see :class:`StepMemory`.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)``, on the CPU.
        n_samples: of an item.
        batch: items.
        precision: ``fp32`` or ``bf16`` (autocast by CUDA's rules), both eager: a compiler
            recomputes part of what eager saves.
        measured_samples: of the short items that are measured.
    """
    return StepMemory(model, precision, measured_samples).estimate(batch, n_samples)


def count_bytes(model: nn.Module) -> int:
    """Of all parameters, each once."""
    return sum(parameter.nbytes for parameter in model.parameters())


class CudaAutocastRules(TorchFunctionMode):
    """CUDA's choices of precision on the CPU, whose own autocast leaves norms in bfloat16.

    Source: the lists of CUDA operations in PyTorch's reference of ``torch.amp``, as far as
    Asteroid's layers meet them.
    """

    FLOAT32 = frozenset(
        {functional.group_norm, functional.layer_norm, torch.group_norm, torch.layer_norm}
        | {torch.pow, torch.Tensor.pow, torch.sum, torch.Tensor.sum}
    )
    BFLOAT16 = frozenset({functional.prelu, torch.prelu})

    def __torch_function__(self, function, types, args=(), kwargs=None):
        cast = None
        if function in self.FLOAT32:
            cast = torch.float32
        elif function in self.BFLOAT16:
            cast = torch.bfloat16
        if cast:
            args = tuple(
                value.to(cast) if isinstance(value, torch.Tensor) else value for value in args
            )
        return function(*args, **(kwargs or {}))


def measure_saved(model: nn.Module, batch: int, n_samples: int, precision: str) -> tuple[int, int]:
    """Bytes that forward pass and PIT SI-SDR loss save for the backward pass.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)``, on the CPU.
        batch: items measured.
        n_samples: of each.
        precision: ``fp32`` or ``bf16``.

    Returns:
        all storages together, each once, without the model's own; the largest activation.
    """
    weights = {tensor.untyped_storage()._cdata for tensor in model.parameters()}
    weights |= {tensor.untyped_storage()._cdata for tensor in model.buffers()}
    saved: weakref.WeakSet[_Saved] = weakref.WeakSet()

    def note(tensor: torch.Tensor) -> _Saved:
        kept = _Saved(tensor)
        saved.add(kept)
        return kept

    pit_loss = make_pit_loss()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept.tensor):
        estimates = _run(find_training_pass(model), torch.randn(batch, n_samples), precision)
        estimates = estimates.float().flatten(0, -3)  # early ones too
        loss = pit_loss(estimates, torch.randn(estimates.shape))
    sizes, widest = {}, 0
    for kept in saved:
        storage = kept.tensor.untyped_storage()
        if storage._cdata not in weights:
            sizes[storage._cdata] = storage.nbytes()
            if kept.tensor.shape[:1] == (batch,):  # not a weight in another precision
                widest = max(widest, storage.nbytes())
    del loss
    return sum(sizes.values()), widest


class _Saved:
    """What autograd saves; alive as long as the graph's node is."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def _run(
    model: Callable[[torch.Tensor], torch.Tensor], mixtures: torch.Tensor, precision: str
) -> torch.Tensor:
    if precision == "fp32":
        return model(mixtures)
    with torch.autocast("cpu", torch.bfloat16), CudaAutocastRules():
        return model(mixtures)
