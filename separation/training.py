"""Training: Asteroid's model and PIT loss under Lightning, with budgets and exact resumption."""

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from separation.config import Conf, TrainingConf
from separation.dynamic_mixing import (
    DynamicMixtures,
    FixedMixtures,
    ListedSegments,
    RunningSampler,
)
from separation.fast_layers import make_fast
from separation.files import format_rows, read_rows, write_text, write_whole
from separation.mixture_set import MixtureSet
from separation.model import build_model, can_compile, has_fast_bf16, import_asteroid, save_model

logger = logging.getLogger(__name__)

CURVE_COLUMNS = ["epoch", "step", "elapsed_s", "train_loss", "dev_loss", "lr", "audio_s_per_s"]


class SeparationModule(pl.LightningModule):
    """Asteroid model + PIT SI-SDR; its checkpoint keys are those of Asteroid's ``System``.

    Args:
        model: Asteroid model ``(batch, time) -> (batch, n_src, time)``.
        conf: training config.
    """

    def __init__(self, model: nn.Module, conf: TrainingConf) -> None:
        super().__init__()
        losses = import_asteroid("losses")
        self.model = model
        self.conf = conf
        self.pit_loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
        self.elapsed_s = 0.0
        self.plateau: ReduceLROnPlateau | None = None
        self.plateau_state: dict[str, Any] | None = None
        self.use_bf16 = False
        # Not registered as sub-modules: they share the parameters of self.model.
        self._forms: dict[str, Any] = {}

    def prepare_speed(self, n_samples: int) -> None:
        """Pick bf16 and compilation where they work; say what was picked."""
        plain = make_fast(self.model, fuse_depthwise=False)
        self._forms = {"train": plain, "eval": plain}
        precision, compiling = self.conf.precision, self.conf.compile
        self.use_bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16(self.device))
        if compiling == "on" or (compiling == "auto" and can_compile(self.device)):
            self._try_compile(n_samples)
        form = "compiled" if self._forms["train"] is not self._forms["eval"] else "eager"
        logger.info("training runs %s, %s", form, "bf16 autocast" if self.use_bf16 else "float32")

    def _try_compile(self, n_samples: int) -> None:
        """Compile and run one throw-away batch; stay eager where that fails."""
        logger.info("compiling the model (about a minute the first time)")
        compiled = torch.compile(make_fast(self.model, fuse_depthwise=True), dynamic=False)
        noise = torch.randn(self.conf.batch_size, n_samples, device=self.device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._run(compiled, noise).square().mean().backward()
            self._forms["train"] = compiled
        except Exception as error:
            logger.warning("no compilation here (%s); going on eager", str(error).splitlines()[0])
        self.zero_grad()

    def _run(self, form: Any, mixtures: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.use_bf16):
            estimates = form(mixtures)
        return estimates.float()

    def on_fit_start(self) -> None:
        self._began = time.monotonic() - self.elapsed_s

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        mixtures, sources = batch
        loss = self.pit_loss(self._run(self._forms["train"], mixtures), sources)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(mixtures))
        self.log("si_sdr", -loss.detach(), prog_bar=True, logger=False)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.elapsed_s = time.monotonic() - self._began
        if self.elapsed_s >= 60 * self.conf.budget_min:
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        mixture, sources = batch
        loss = self.pit_loss(self._forms["eval"](mixture), sources)
        self.log("dev_loss", loss, on_epoch=True, batch_size=1, sync_dist=True)
        self.log("dev_si_sdr", -loss, on_epoch=True, prog_bar=True, batch_size=1, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the plateau halving is stepped by :class:`KeepResults`, once an epoch."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.conf.lr)
        self.plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=self.conf.halve_after)
        if self.plateau_state is not None:
            self.plateau.load_state_dict(self.plateau_state)
        return optimizer

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        """Scale the plateau's rate by warm-up and annealing for this step only."""
        group = optimizer.param_groups[0]
        plateau_lr = group["lr"]
        group["lr"] = plateau_lr * self.lr_factor()
        optimizer.step(closure=optimizer_closure)
        group["lr"] = plateau_lr

    def lr_factor(self) -> float:
        """Warm-up from 0 and linear annealing to 0 over the last share of the budget."""
        warm = min(1.0, (self.global_step + 1) / max(1, self.conf.warmup_steps))
        left = 1 - self.elapsed_s / (60 * self.conf.budget_min)
        if self.conf.anneal_share <= 0:
            return warm
        return warm * min(1.0, max(0.01, left / self.conf.anneal_share))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["elapsed_s"] = self.elapsed_s
        checkpoint["plateau"] = self.plateau.state_dict() if self.plateau else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.elapsed_s = checkpoint["elapsed_s"]
        self.plateau_state = checkpoint["plateau"]


class KeepResults(pl.Callback):
    """After every epoch: the curve, the best model, the last checkpoint, early stopping."""

    def __init__(self, folder: Path, audio_s_per_step: float) -> None:
        self.folder = folder
        self.audio_s_per_step = audio_s_per_step
        self.rows: list[dict[str, Any]] = []
        self.best_loss = float("inf")
        self.epochs_without_gain = 0

    def state_dict(self) -> dict[str, Any]:
        names = ("rows", "best_loss", "epochs_without_gain")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SeparationModule) and pl_module.plateau is not None
        dev_loss = float(trainer.callback_metrics["dev_loss"])
        lr = trainer.optimizers[0].param_groups[0]["lr"] * pl_module.lr_factor()
        pl_module.plateau.step(dev_loss)
        self._add_row(trainer, pl_module, dev_loss, lr)
        self.epochs_without_gain = 0 if dev_loss < self.best_loss else self.epochs_without_gain + 1
        if dev_loss < self.best_loss:
            self.best_loss = dev_loss
            save_model(pl_module.model, self.folder / "best_model.pth")
        if self.epochs_without_gain >= pl_module.conf.early_stop:
            logger.info("dev loss has not fallen for %d epochs: stop", self.epochs_without_gain)
            trainer.should_stop = True
        with write_whole(self.folder / "checkpoints" / "last.ckpt") as partial:
            trainer.save_checkpoint(partial)

    def _add_row(self, trainer, module: SeparationModule, dev_loss: float, lr: float) -> None:
        before = self.rows[-1] if self.rows else {"step": 0, "elapsed_s": 0.0}
        steps, seconds = (
            trainer.global_step - before["step"],
            module.elapsed_s - before["elapsed_s"],
        )
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "elapsed_s": round(module.elapsed_s, 1),
            "train_loss": round(float(trainer.callback_metrics["train_loss"]), 4),
            "dev_loss": round(dev_loss, 4),
            "lr": lr,
            "audio_s_per_s": round(steps * self.audio_s_per_step / max(seconds, 1e-9), 1),
        }
        self.rows.append(row)
        write_text(self.folder / "curves.csv", format_rows(self.rows, CURVE_COLUMNS))
        logger.info(
            "epoch %d: train SI-SDR %.2f dB, dev SI-SDR %.2f dB, %.0f s of audio a second, "
            "%.1f of at most %.1f minutes",
            *(row["epoch"], -row["train_loss"], -dev_loss, row["audio_s_per_s"]),
            *(module.elapsed_s / 60, module.conf.budget_min),
        )


def train(
    conf: Conf,
    segments: DynamicMixtures | ListedSegments,
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
        KeyboardInterrupt: the user stopped it; the last epoch's checkpoint stays.
    """
    for chatty in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "lightning.fabric",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    pl.seed_everything(conf.training.seed, verbose=False)
    n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
    module = SeparationModule(
        build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate), conf.training
    )
    module.to(device)
    module.prepare_speed(n_samples)
    keep = KeepResults(folder, conf.training.batch_size * conf.training.segment_s)
    trainer = _make_trainer(conf.training, folder, device, keep)
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file():
        logger.info("going on after epoch %s", read_rows(folder / "curves.csv")[-1]["epoch"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            trainer.fit(
                module,
                _make_loader(conf, segments),
                DataLoader(FixedMixtures(dev), batch_size=1, num_workers=conf.training.num_workers),
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
        except SystemExit:  # Lightning's answer to Ctrl-C, which says nothing to the user
            raise KeyboardInterrupt from None


def _make_loader(conf: Conf, segments: DynamicMixtures | ListedSegments) -> DataLoader:
    training = conf.training
    wanted = training.epoch_mixtures
    if wanted == 0:
        wanted = segments.n_epoch
    n_items = max(1, wanted // training.batch_size) * training.batch_size
    return DataLoader(
        segments,
        batch_size=training.batch_size,
        sampler=RunningSampler(n_items),
        num_workers=training.num_workers,
        persistent_workers=training.num_workers > 0,
    )


def _make_trainer(
    conf: TrainingConf, folder: Path, device: torch.device, keep: KeepResults
) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=conf.epochs,
        gradient_clip_val=conf.clip or None,
        logger=TensorBoardLogger(str(folder), name="tensorboard", version=""),
        callbacks=[keep, TQDMProgressBar(refresh_rate=20)],
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=20,
    )
