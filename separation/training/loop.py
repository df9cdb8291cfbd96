"""Training: Asteroid's model and PIT loss on Lightning's processes, with budgets; never lost.

The loop is ours: a checkpoint of any step, one within validation too, goes on to the bit, and no
step waits for a GPU, where Lightning's own loop repeats or drops what was under way.
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
from separation.mixtures.dataset import MixtureSet
from separation.mixtures.dynamic.device import DeviceMixer
from separation.training.checkpoint import naming_full_disk, read_checkpoint, write_checkpoint
from separation.training.data import Batch, count_steps, open_batches, open_mixer
from separation.training.distributed import Ranks, SignalWatch, Stopped
from separation.training.history import KeepResults
from separation.training.memory import fit_micro_batch
from separation.training.module import SeparationModule, make_model
from separation.training.schedule import scale_lr
from separation.training.step import Stepper
from separation.training.tracking import Board, Teller
from separation.training.validation import Validator

__all__ = ["SeparationModule", "Training", "train"]

logger = logging.getLogger(__name__)


def train(
    conf: Conf,
    segments: Dataset,
    dev: MixtureSet,
    folder: Path,
    device: torch.device,
) -> None:
    """Train until the budget, the epochs or early stopping end it; resume what was interrupted.

    Args:
        conf: the recipe.
        segments: training items by their number, counted over the whole training.
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
    ranks = Ranks(conf.training, device)
    ranks.refuse_different(saved["step"] if saved else -1, "the step of their checkpoints")
    Fabric.seed_everything(conf.training.seed, verbose=False)
    module = SeparationModule(make_model(conf, from_checkpoint=saved is None), conf.training)
    module.to(ranks.device)
    mixer = open_mixer(conf.training, segments, ranks.rank, ranks.world, ranks.device)
    if ranks.device.type == "cuda":  # a CPU that runs out of memory swaps, or kills us
        conf = fit_micro_batch(conf, module, ranks)
        module.conf = conf.training
    module.prepare_speed(round(conf.training.segment_s * conf.audio.sample_rate))
    training = Training(conf, module, segments, dev, folder, ranks, mixer)
    if saved is not None:
        training.load_state_dict(saved)
    with naming_full_disk(folder), SignalWatch() as watch:
        training.run(watch)
    ranks.close()


class Training:
    """The loop over steps and epochs, and all of its state.

    Args:
        conf: the recipe.
        module: on its device, prepared.
        segments: training items by number.
        dev: dev mixtures.
        folder: of the experiment.
        ranks: the processes.
        mixer: mixes on the device; None: the host does.

    Attributes:
        step: steps done in the whole training, skipped ones too.
        epoch: that is under way.
        steps_in_epoch: done of it.
        stepping_s: seconds that the steps of the epoch under way took.
        elapsed_s: of all runs together, up to the last step.
    """

    def __init__(
        self,
        conf: Conf,
        module: SeparationModule,
        segments: Dataset,
        dev: MixtureSet,
        folder: Path,
        ranks: Ranks,
        mixer: DeviceMixer | None = None,
    ) -> None:
        self.conf, self.module, self.segments, self.dev = conf.training, module, segments, dev
        self.folder, self.ranks, self.mixer = folder, ranks, mixer
        self.sample_rate = conf.audio.sample_rate
        self.n_steps = count_steps(self.conf, getattr(segments, "n_epoch", 0))
        self.step = self.epoch = self.steps_in_epoch = 0
        self.elapsed_s = self.stepping_s = 0.0
        self.stepper = Stepper(module, self.conf, ranks)
        # By default a loss below zero counts as better when it is a little worse.
        self.plateau = ReduceLROnPlateau(
            *(self.stepper.optimizer, "min"),
            factor=0.5,
            patience=self.conf.halve_after,
            threshold=0.0,
            threshold_mode="abs",
        )
        self.validator = Validator(self.conf, dev, ranks)
        audio_s = self.conf.batch_size * self.conf.segment_s
        writes = ranks.rank == 0
        self.keep = KeepResults(folder, audio_s, self.conf.early_stop, writes=writes)

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on: tensors and plain values."""
        self.stepper.look_back()
        return {
            "state_dict": self.module.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "steps_in_epoch": self.steps_in_epoch,
            "stepping_s": self.stepping_s,
            "elapsed_s": self.elapsed_s,
            "stepper": self.stepper.state_dict(),
            "plateau": self.plateau.state_dict(),
            "results": self.keep.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.module.load_state_dict(state["state_dict"])
        self.stepper.load_state_dict(state["stepper"])
        self.plateau.load_state_dict(state["plateau"])
        self.keep.load_state_dict(state["results"])
        for name in ("step", "epoch", "steps_in_epoch", "stepping_s", "elapsed_s"):
            setattr(self, name, state[name])
        done = f"{self.steps_in_epoch} of {self.n_steps} steps"
        logger.info("going on after step %d (epoch %d: %s)", self.step, self.epoch, done)

    @property
    def _is_spent(self) -> bool:
        return self.elapsed_s >= 60 * self.conf.budget_min

    @property
    def _is_over(self) -> bool:
        is_late = self._is_spent and self.steps_in_epoch == 0
        return self.epoch >= self.conf.epochs or self.keep.is_over or is_late

    def run(self, watch: SignalWatch) -> None:
        """Train to the end, or to a signal.

        Raises:
            KeyboardInterrupt: SIGINT.
            SystemExit: SIGTERM.
        """
        writes = self.ranks.rank == 0
        self._began = self._saved = time.monotonic()
        self._began -= self.elapsed_s
        self.board = Board(self.folder / "tensorboard", self.step + 1, writes=writes)
        self.teller = Teller(self.board, self.keep)
        try:
            self._run_epochs(watch)
        except Stopped as stopped:
            self._save()
            self._end_stopped(stopped.number)
        finally:
            self.board.close()

    def _run_epochs(self, watch: SignalWatch) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            ranks = self.ranks
            share = (ranks.rank, ranks.world, ranks.device)
            items = open_batches(self.conf, self.segments, self.step, *share, self.mixer)
            with contextlib.closing(items) as batches:
                while not self._is_over:
                    self._run_epoch(batches, watch)

    def _run_epoch(self, batches: Iterator[Batch], watch: SignalWatch) -> None:
        """What is left of the epoch."""
        with self.teller.open_bar(self.epoch, self.step, self.steps_in_epoch, self.n_steps):
            while self.steps_in_epoch < self.n_steps and not self._is_spent:
                began = time.monotonic()
                self._do_step(next(batches))
                self.stepping_s += time.monotonic() - began
                self._look_up(watch)
        self._close_epoch(watch)

    def _do_step(self, batch: Batch) -> None:
        mixtures, sources = (part.to(self.ranks.device, non_blocking=True) for part in batch)
        self.stepper.step(self.step, mixtures, sources, self._find_lr())
        self.step += 1
        self.steps_in_epoch += 1
        self.teller.see_step(self.step, self.stepper, self._find_lr())

    def _find_lr(self) -> float:
        """The plateau's rate, scaled by the schedule."""
        base = self.stepper.optimizer.param_groups[0]["lr"]
        n_planned = self.n_steps * self.conf.epochs
        return base * scale_lr(self.conf, self.step, n_planned, self.elapsed_s)

    def _look_up(self, watch: SignalWatch) -> None:
        """The clock, signals and checkpoints, decided for all processes alike."""
        now = time.monotonic()
        due = now - self._saved >= 60 * self.conf.checkpoint_min
        values = self.ranks.agree([now - self._began, watch.number, due])
        self.elapsed_s = values[0]
        if values[1]:
            raise Stopped(int(values[1]))
        if values[2]:
            self._save()

    def _close_epoch(self, watch: SignalWatch) -> None:
        """Validate, keep what is better, and write the checkpoint between two epochs."""
        began = time.monotonic()
        self.stepper.look_back()  # which waits for a GPU to finish the epoch's steps
        self.stepping_s += time.monotonic() - began
        average = self.stepper.average
        began = time.monotonic()
        lr = self._find_lr()
        with average.in_place() if average else contextlib.nullcontext():
            dev = self.validator.score(self.module, watch)
            self.keep.keep_best(self.module.model, dev.loss)
            self._show_example()
        validation_s = time.monotonic() - began
        if self.conf.schedule == "plateau":
            self.plateau.step(dev.loss)
        n_counted = self.steps_in_epoch - self.stepper.n_skipped
        values = {
            "epoch": self.epoch,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "stepping_s": self.stepping_s,
            "validation_s": validation_s,
            "train_loss": float(self.stepper.loss_sum) / max(1, n_counted),
            "lr": lr,
            "skipped": self.stepper.n_skipped,
        }
        self.teller.see_epoch(self.step, self.keep.add_row(values, dev, self.ranks.device))
        self.stepper.begin_epoch()
        self.epoch += 1
        self.steps_in_epoch = 0
        self.stepping_s = 0.0
        self.elapsed_s = self.ranks.agree([time.monotonic() - self._began])[0]
        self._save()

    def _show_example(self) -> None:
        every = self.conf.examples_every
        if not every or self.epoch % every or self.ranks.rank:
            return
        with self.module.evaluating():
            self.board.add_example(self.dev[0], self._separate, self.sample_rate, self.step)

    def _separate(self, samples: Any) -> Any:
        mixture = torch.from_numpy(samples).to(self.ranks.device)
        return self.module.separate(mixture[None])[0].cpu().numpy()

    def _save(self) -> None:
        state = self.state_dict()
        if self.ranks.rank == 0:
            write_checkpoint(self.folder / "checkpoints" / "last.ckpt", state)
        self._saved = time.monotonic()

    def _end_stopped(self, number: int) -> None:
        self.ranks.close()  # else a launcher ends the first process while it still writes
        logger.info(
            "stopped by %s after step %d; its checkpoint is written: run the same command to go on",
            *(signal.Signals(number).name, self.step),
        )
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
