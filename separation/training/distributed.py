"""Distributed training: one process a device, all-reduce, SIGINT and SIGTERM."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from separation.config.training import TrainingConf
from separation.errors import UserError
from separation.text import explain_briefly, explain_error

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGREE_EVERY = 10  # steps, of several GPUs: asking costs hosts 0.1 to 0.5 ms


class Stopped(Exception):
    """A signal asks for a checkpoint and an end of the run."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Process(Protocol):
    """One of the processes of a run: number ``rank`` of ``world_size``, on its device."""

    rank: int
    world_size: int
    device: torch.device


class Distributed:
    """The processes of a run, one for each device, and the reductions over them.

    Args:
        conf: training config with ``devices`` and ``num_nodes``.
        device: cpu or cuda.

    Attributes:
        rank: of this process.
        world_size: number of processes.
        device: of this process.
        agree_every: steps after which the processes ask each other about time and signals.

    Raises:
        UserError: fewer devices than asked for, another number of processes was started, or what
            SLURM says does not fit.
    """

    def __init__(self, conf: TrainingConf, device: torch.device) -> None:
        _check_devices(conf, device)
        self.fabric = _open_fabric(conf, device)
        self.fabric.launch()
        self.rank, self.world_size = self.fabric.global_rank, self.fabric.world_size
        self.device: torch.device = self.fabric.device
        # Between the hosts, so that a reduction of plain numbers does not wait for a GPU.
        self._hosts = _open_host_group() if self.world_size > 1 else None
        on_gpus = self.world_size > 1 and self.device.type == "cuda"
        self.agree_every = AGREE_EVERY if on_gpus else 1
        if self.rank:
            logging.getLogger("separation").setLevel(logging.WARNING)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and draws bars."""
        return self.rank == 0

    def all_reduce_max(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all processes; plain numbers, so no GPU is waited for."""
        if self._hosts is None:
            return list(values)
        largest = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._hosts)
        return largest.tolist()

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes of a tensor on the device; the host does not wait for it."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def wrap_module(self, module: pl.LightningModule, unused: set[str]) -> Any:
        """The module whose gradients are averaged over all processes (DDP).

        Args:
            module: on its device.
            unused: parameters without a gradient, which DDP would wait for, or look for in every
                step, and a GPU with it.
        """
        if self.world_size > 1:
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, unused)
        return self.fabric.setup_module(module)

    def require_same(self, value: int, what: str) -> None:
        """See that all processes have the same number.

        Raises:
            UserError: they differ.
        """
        low, high = self.all_reduce_max([-value, value])
        if -low != high:
            raise UserError(
                f"the processes differ in {what} ({-low:.0f} and {high:.0f}): the experiment's "
                "folder must lie on a disk that all nodes share."
            )

    def close(self) -> None:
        """Wait for the others, then leave the process group."""
        if self.world_size > 1:
            dist.barrier(group=self._hosts)
            dist.destroy_process_group()


class DDPOnOneStream(DDPStrategy):
    """Lightning's DDP on the stream of the training.

    Lightning 2.6.6 makes it on a stream of its own, so that every gradient's sum lies on another
    stream than the backward pass: a warning, and a wait for an event a parameter (Lightning issue
    21567).
    """

    def setup_module(self, module: torch.nn.Module) -> DistributedDataParallel:
        """The module whose gradients are averaged."""
        return DistributedDataParallel(
            module, device_ids=self._determine_ddp_device_ids(), **self._ddp_kwargs
        )


def _open_host_group() -> Any:
    """A group of the hosts' processors.

    Raises:
        UserError: they do not reach each other.
    """
    try:
        return dist.new_group(backend="gloo")
    except RuntimeError as error:
        name = os.environ.get("GLOO_SOCKET_IFNAME", "")
        interface = f"GLOO_SOCKET_IFNAME={name}" if name else "GLOO_SOCKET_IFNAME, which is not set"
        raise UserError(
            f"the training's processes do not reach each other ({explain_briefly(error)}): name "
            f"the network interface that joins the nodes in {interface} (ip -brief addr lists "
            "them), and for NCCL in NCCL_SOCKET_IFNAME."
        ) from error


def _open_fabric(conf: TrainingConf, device: torch.device) -> Fabric:
    try:
        return Fabric(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=conf.devices,
            num_nodes=conf.num_nodes,
            strategy=DDPOnOneStream(gradient_as_bucket_view=True)
            if conf.n_processes > 1
            else "auto",
        )
    except (RuntimeError, ValueError) as error:  # from what SLURM and torchrun set
        raise UserError(
            f"training.devices={conf.devices}, training.num_nodes={conf.num_nodes} do not fit how "
            f"the processes were started: {explain_error(error)}"
        ) from error


def is_first_process(conf: TrainingConf) -> bool:
    """Whether this process writes files: the first of those that torchrun, SLURM or we started."""
    names = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
    return conf.n_processes == 1 or all(os.environ.get(name, "0") == "0" for name in names)


def _check_devices(conf: TrainingConf, device: torch.device) -> None:
    if device.type == "cuda" and conf.devices > torch.cuda.device_count():
        raise UserError(
            f"training.devices={conf.devices}: torch sees {torch.cuda.device_count()} CUDA "
            "device(s); set it to that number."
        )
    started = int(os.environ.get("WORLD_SIZE", conf.n_processes))
    if "LOCAL_RANK" in os.environ and started != conf.n_processes:
        raise UserError(
            f"{started} processes were started, but training.devices={conf.devices} times "
            f"training.num_nodes={conf.num_nodes} are {conf.n_processes}: make them equal."
        )


class SignalWatch:
    """Remembers SIGINT and SIGTERM until a step is done; a later Ctrl-C ends at once.

    Launchers send a signal again that the process has got itself, so that one soon after the
    first, and any further SIGTERM, must not break off the checkpoint.
    """

    IMPATIENT_S = 3.0

    def __init__(self) -> None:
        self.number = 0
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "SignalWatch":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._first = number, now
        elif number == signal.SIGINT and now - self._first > self.IMPATIENT_S:
            raise KeyboardInterrupt
