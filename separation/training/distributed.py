"""The processes of a training: started by Lightning, stopped by signals, of one mind."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from separation.config.training import TrainingConf
from separation.errors import UserError
from separation.text import explain_error

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal asks the training to write a checkpoint and end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Ranks:
    """One process for each device; what all must agree on, they agree on here.

    Args:
        conf: training config with ``devices`` and ``num_nodes``.
        device: cpu or cuda.

    Raises:
        UserError: fewer devices than asked for, another number of processes was started, or what
            SLURM tells does not fit.
    """

    def __init__(self, conf: TrainingConf, device: torch.device) -> None:
        _check_devices(conf, device)
        self.fabric = _open_fabric(conf, device)
        self.fabric.launch()
        self.rank, self.world = self.fabric.global_rank, self.fabric.world_size
        self.device = self.fabric.device
        # Between the hosts, so that agreeing does not wait for a GPU.
        self._hosts = distributed.new_group(backend="gloo") if self.world > 1 else None
        if self.rank:
            logging.getLogger("separation").setLevel(logging.WARNING)

    def agree(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all processes."""
        if self._hosts is None:
            return list(values)
        largest = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self._hosts)
        return largest.tolist()

    def add_up(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes of a tensor on the device; no process waits for a GPU."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def wrap(self, module: pl.LightningModule, idle: set[str]) -> Any:
        """The module whose gradients are averaged over all processes.

        Args:
            module: on its device.
            idle: parameters without a gradient, which DDP would wait for, or look for in every
                step, and a GPU with it.
        """
        if self.world > 1:
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, idle)
        return self.fabric.setup_module(module)

    def refuse_different(self, value: int, what: str) -> None:
        """See that all processes have the same number.

        Raises:
            UserError: they differ.
        """
        low, high = self.agree([-value, value])
        if -low != high:
            raise UserError(
                f"the processes differ in {what} ({-low:.0f} and {high:.0f}): the experiment's "
                "folder must lie on a disk that all nodes share."
            )

    def close(self) -> None:
        """Wait for the others, then leave the process group."""
        if self.world > 1:
            distributed.barrier(group=self._hosts)
            distributed.destroy_process_group()


def _open_fabric(conf: TrainingConf, device: torch.device) -> Fabric:
    try:
        return Fabric(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=conf.devices,
            num_nodes=conf.num_nodes,
            strategy=DDPStrategy() if conf.n_processes > 1 else "auto",
        )
    except (RuntimeError, ValueError) as error:  # what it reads of SLURM and torchrun
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
    """Remembers SIGINT and SIGTERM until the training can stop; a later Ctrl-C ends at once.

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
