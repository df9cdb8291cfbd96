"""The training loop: Asteroid's model and PIT loss, resumed to the bit wherever it was stopped.

The loop is ours, on Lightning Fabric's processes: a checkpoint of any step, one within validation
too, goes on to the bit, and no step waits for a GPU, where Lightning's own loop repeats or drops
what was under way.
"""

import contextlib
import logging
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import Dataset

from separation.config.schema import Conf
from separation.config.training import TrainingConf
from separation.mixtures.dataset import MixtureDataset
from separation.mixtures.dynamic.device import DeviceMixer
from separation.training.checkpoint import naming_full_disk, read_checkpoint, write_checkpoint
from separation.training.data import Batch, count_steps, open_batches, open_mixer
from separation.training.distributed import Distributed, SignalWatch, Stopped
from separation.training.history import EpochResult, TrainingHistory
from separation.training.loggers import open_loggers
from separation.training.micro_batch import naming_full_memory, prepare_fitting
from separation.training.module import SeparationModule, make_model
from separation.training.schedule import fade_early, scale_lr
from separation.training.step import TrainStep
from separation.training.tracking import ProgressLogger, Tracking
from separation.training.validation import DevScores, Validator

__all__ = ["SeparationModule", "TrainingLoop", "train"]

logger = logging.getLogger(__name__)


def train(
    conf: Conf, segments: Dataset, dev: MixtureDataset, folder: Path, device: torch.device
) -> None:
    """Train until the time budget, the epochs or early stopping end it; resume what was stopped.

    Args:
        conf: the recipe.
        segments: training items by their number, counted over the whole run.
        dev: dev mixtures, used whole.
        folder: gets ``best_model.pth``, ``curves.csv``, ``checkpoints/`` and ``tensorboard/``.
        device: cpu or cuda.

    Raises:
        KeyboardInterrupt: SIGINT stopped it; the checkpoint of the last step is written.
        SystemExit: SIGTERM did, code 143.
        UserError: a contradiction, a full disk, or too many steps that are not finite.
    """
    for chatty in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    saved = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    distributed = Distributed(conf.training, device)
    distributed.require_same(saved["step"] if saved else -1, "the step of their checkpoints")
    Fabric.seed_everything(conf.training.seed, verbose=False)
    module = SeparationModule(make_model(conf, from_checkpoint=saved is None), conf.training)
    module.to(distributed.device)
    mixer = open_mixer(conf.training, segments, distributed)
    if distributed.device.type == "cuda":  # a CPU that runs out of memory swaps, or kills us
        conf = prepare_fitting(conf, module, distributed)
    else:
        module.prepare(round(conf.training.segment_s * conf.audio.sample_rate))
    loop = TrainingLoop(conf, module, segments, dev, folder, distributed, mixer)
    if saved is not None:
        loop.load_state_dict(saved)
    with naming_full_disk(folder), SignalWatch() as watch:
        loop.run(watch)
    distributed.close()


class TrainingLoop:
    """The loop over epochs and steps, and all of its state.

    Args:
        conf: the recipe.
        module: on its device, prepared.
        segments: training items by number.
        dev: dev mixtures.
        folder: of the experiment.
        distributed: the processes.
        mixer: mixes on the device; None: the host does.

    Attributes:
        step: steps done in the whole run, skipped ones too.
        epoch: that is under way.
        steps_in_epoch: done of it.
        stepping_s: seconds that the steps of the epoch under way took.
        elapsed_s: of training, up to the last step, interruptions not counted.
    """

    def __init__(
        self,
        conf: Conf,
        module: SeparationModule,
        segments: Dataset,
        dev: MixtureDataset,
        folder: Path,
        distributed: Distributed,
        mixer: DeviceMixer | None = None,
    ) -> None:
        self.conf, self.module, self.segments, self.dev = conf.training, module, segments, dev
        self.folder, self.distributed, self.mixer = folder, distributed, mixer
        self.whole_conf, self.sample_rate = conf, conf.audio.sample_rate
        self.n_steps = count_steps(self.conf, getattr(segments, "n_epoch", 0))
        self.step = self.epoch = self.steps_in_epoch = 0
        self.elapsed_s = self.stepping_s = 0.0
        self.train_step = TrainStep(module, self.conf, distributed)
        self.plateau = make_plateau(self.train_step.optimizer, self.conf)
        self.validator = Validator(self.conf, dev, distributed)
        audio_s = self.conf.batch_size * self.conf.segment_s
        self.history = TrainingHistory(
            folder, audio_s, self.conf.early_stop, writes=distributed.is_first
        )

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on: tensors and plain values."""
        self.train_step.read_guards()
        return {
            "state_dict": self.module.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "steps_in_epoch": self.steps_in_epoch,
            "stepping_s": self.stepping_s,
            "elapsed_s": self.elapsed_s,
            "stepper": self.train_step.state_dict(),
            "plateau": self.plateau.state_dict(),
            "results": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.module.load_state_dict(state["state_dict"])
        self.train_step.load_state_dict(state["stepper"])
        self.plateau.load_state_dict(state["plateau"])
        self.history.load_state_dict(state["results"])
        for name in ("step", "epoch", "steps_in_epoch", "stepping_s", "elapsed_s"):
            setattr(self, name, state[name])
        done = f"{self.steps_in_epoch} of {self.n_steps} steps"
        logger.info("going on after step %d (epoch %d: %s)", self.step, self.epoch, done)

    @property
    def _is_budget_spent(self) -> bool:
        return self.elapsed_s >= 60 * self.conf.budget_min

    @property
    def _is_over(self) -> bool:
        out_of_time = self._is_budget_spent and self.steps_in_epoch == 0
        return self.epoch >= self.conf.epochs or self.history.stops_early or out_of_time

    def run(self, watch: SignalWatch) -> None:
        """Train to the end, or to a signal.

        Raises:
            KeyboardInterrupt: SIGINT.
            SystemExit: SIGTERM.
        """
        self._began = self._saved = time.monotonic()
        self._began -= self.elapsed_s
        names = self.conf.loggers if self.distributed.is_first else []
        opened = open_loggers(names, self.folder, self.step + 1, self.whole_conf.as_dict())
        self.tracking = Tracking(opened)
        self.progress = ProgressLogger(self.tracking, self.history, self.conf.loss)
        try:
            self._run_epochs(watch)
        except Stopped as stopped:
            self._save()
            self._exit(stopped.number)
        finally:
            self.tracking.close()

    def _run_epochs(self, watch: SignalWatch) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            items = open_batches(self.conf, self.segments, self.step, self.distributed, self.mixer)
            with contextlib.closing(items) as batches:
                while not self._is_over:
                    self._run_epoch(batches, watch)

    def _run_epoch(self, batches: Iterator[Batch], watch: SignalWatch) -> None:
        """What is left of the epoch."""
        self.module.early_weight = fade_early(self.conf, self.epoch)
        with self.progress.open_bar(self.epoch, self.step, self.steps_in_epoch, self.n_steps):
            while self.steps_in_epoch < self.n_steps and not self._is_budget_spent:
                began = time.monotonic()
                self._run_step(next(batches))
                self.stepping_s += time.monotonic() - began
                self._check_clock_and_signals(watch)
        self._end_epoch(watch)

    def _run_step(self, batch: Batch) -> None:
        device = self.distributed.device
        mixtures, sources = (part.to(device, non_blocking=True) for part in batch)
        with naming_full_memory(self.conf, self.step):
            self.train_step.run(self.step, mixtures, sources, self._compute_lr())
        self.step += 1
        self.steps_in_epoch += 1
        self.progress.log_step(self.step, self.train_step, self._compute_lr())

    def _compute_lr(self) -> float:
        """The plateau's rate, scaled by the schedule."""
        base = self.train_step.optimizer.param_groups[0]["lr"]
        n_planned = self.n_steps * self.conf.epochs
        return base * scale_lr(self.conf, self.step, n_planned, self.elapsed_s)

    def _check_clock_and_signals(self, watch: SignalWatch) -> None:
        """Time, signals and whether a checkpoint is due, decided for all processes alike.

        Not after every step where several GPUs work: hosts that ask each other keep them waiting.
        """
        is_last = self.steps_in_epoch == self.n_steps
        if self.step % self.distributed.agree_every and not is_last:
            return
        now = time.monotonic()
        is_due = now - self._saved >= 60 * self.conf.checkpoint_min
        values = self.distributed.all_reduce_max([now - self._began, watch.number, is_due])
        self.elapsed_s = values[0]
        if values[1]:
            raise Stopped(int(values[1]))
        if values[2]:
            self._save()

    def _end_epoch(self, watch: SignalWatch) -> None:
        """Validate, save the best model, and write the checkpoint between two epochs."""
        began = time.monotonic()
        self.train_step.read_guards()  # which waits for a GPU to finish the epoch's steps
        self.stepping_s += time.monotonic() - began
        began, lr = time.monotonic(), self._compute_lr()
        dev = self._validate(watch)
        validation_s = time.monotonic() - began
        if self.conf.schedule == "plateau" and self.epoch >= self.conf.plateau_from:
            self.plateau.step(dev.loss)
        result = EpochResult(
            epoch=self.epoch,
            step=self.step,
            elapsed_s=self.elapsed_s,
            stepping_s=self.stepping_s,
            validation_s=validation_s,
            train_loss=self.train_step.mean_loss(self.steps_in_epoch),
            lr=lr,
            n_skipped=self.train_step.n_skipped,
        )
        row = self.history.add_epoch(result, dev, self.distributed.device)
        self.progress.log_epoch(self.step, row)
        self._begin_epoch()
        self._save()

    def _validate(self, watch: SignalWatch) -> DevScores:
        """Scores of the weights that are kept."""
        with self.train_step.keeping():
            with naming_full_memory(self.conf, self.step, in_validation=True):
                dev = self.validator.score(self.module, watch)
            self.history.save_if_best(self.module.model, dev.loss)
            self._log_example()
        return dev

    def _begin_epoch(self) -> None:
        self.train_step.begin_epoch()
        self.epoch += 1
        self.steps_in_epoch = 0
        self.stepping_s = 0.0
        (self.elapsed_s,) = self.distributed.all_reduce_max([time.monotonic() - self._began])

    def _log_example(self) -> None:
        every = self.conf.examples_every
        if not every or self.epoch % every or not self.distributed.is_first:
            return
        with self.module.evaluating():
            self.tracking.add_example(self.dev[0], self._separate, self.sample_rate, self.step)

    def _separate(self, samples: Any) -> Any:
        mixture = torch.from_numpy(samples).to(self.distributed.device)
        return self.module.separate(mixture[None])[0].cpu().numpy()

    def _save(self) -> None:
        state = self.state_dict()
        if self.distributed.is_first:
            write_checkpoint(self.folder / "checkpoints" / "last.ckpt", state)
        self._saved = time.monotonic()

    def _exit(self, number: int) -> None:
        self.distributed.close()  # else a launcher ends the first process while it still writes
        name = signal.Signals(number).name
        logger.info(
            "stopped by %s after step %d; its checkpoint is written: run the same command to go on",
            name,
            self.step,
        )
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def make_plateau(optimizer: torch.optim.Optimizer, conf: TrainingConf) -> ReduceLROnPlateau:
    """Lowers the learning rate after ``halve_after`` epochs without a lower dev loss."""
    # By torch's default a loss below zero counts as better when it is a little worse.
    return ReduceLROnPlateau(
        optimizer,
        "min",
        factor=conf.plateau_factor,
        patience=conf.halve_after,
        threshold=0.0,
        threshold_mode="abs",
    )
