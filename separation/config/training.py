"""The training section of a recipe's config."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from separation.errors import UserError
from separation.records import (
    Bounds,
    Count,
    NotNegative,
    Positive,
    PositiveInt,
    Share,
    check_fields,
)

# What a training may change when it goes on: where and how it runs, which its items do not depend
# on, and its results only by rounding.
MACHINE_KEYS = frozenset(
    {"micro_batch", "max_skipped", "checkpoint_min", "examples_every", "loggers"}
    | {"devices", "num_nodes"}
    | {"mixing", "num_workers", "compile", "cuda_graphs", "fused_norm", "fused_depthwise"}
    | {"own_gradients", "layout", "block_kernels", "fused_adam", "recompute"}
)
LENGTH_KEYS = frozenset({"epochs", "budget_min", "early_stop"})  # where no learning rate follows

Loss = Literal["si_sdr", "snr", "sd_sdr"]
EarlyLoss = Literal["magnitude", "same"]
Optimizer = Literal["adam", "adamw", "radam"]
Logger = Literal["tensorboard", "wandb", "mlflow"]
Switch = Literal["auto", "on", "off"]
Decay = Annotated[float, Bounds(at_least=0, below=1)]
Speed = Annotated[float, Bounds(at_least=0.5, at_most=2)]
Gain = Annotated[float, Bounds(at_least=0, at_most=30, unit="dB")]
Segment = Annotated[float, Bounds(above=0, limit=3600, unit="s")]
Batch = Annotated[int, Bounds(above=0, limit=100_000)]
LearningRate = Annotated[float, Bounds(above=0, limit=100)]
Processes = Annotated[int, Bounds(above=0, limit=100_000)]
Workers = Annotated[int, Bounds(at_least=0, limit=1024)]
Seed = Annotated[int, Bounds(at_least=0, below=2**32)]


@dataclass(frozen=True, kw_only=True)
class TrainingConf:
    """How the model is trained; conf/default.yml explains every key.

    A key with a default here came later, see :mod:`separation.records`.
    """

    dynamic_mixing: bool
    random_crop: bool
    speed_min: Speed
    speed_max: Speed
    speaker_weight: Share = 0.0
    speaker_groups: str = ""
    equalize_db: Gain = 0.0
    segment_s: Segment
    batch_size: Batch
    micro_batch: Count
    epoch_mixtures: Count
    epochs: PositiveInt
    budget_min: Positive
    loss: Loss = "si_sdr"
    loss_ceiling: NotNegative = 0.0
    early_loss: EarlyLoss = "magnitude"
    early_weight: Decay = 0.4
    early_hold: Count = 100
    optimizer: Optimizer = "adam"
    weight_decay: NotNegative = 0.0
    lr: LearningRate
    schedule: Literal["plateau", "cosine", "constant"]
    warmup_steps: Count
    halve_after: Count
    plateau_factor: Decay = 0.5
    plateau_from: Count = 0
    anneal_share: Share
    early_stop: Count
    clip: NotNegative
    ema: Decay
    max_skipped: PositiveInt
    init_from: str
    start_share: Decay = 0.0
    checkpoint_min: Positive
    dev_mixtures: Count
    examples_every: Count
    loggers: list[Logger] = field(default_factory=lambda: ["tensorboard"])
    devices: Processes
    num_nodes: Processes
    mixing: Literal["auto", "host", "device"]
    num_workers: Workers
    recompute: bool = False
    precision: Literal["auto", "fp32", "bf16"]
    compile: Switch
    cuda_graphs: Switch
    fused_norm: bool
    fused_depthwise: bool
    own_gradients: Switch
    layout: Literal["auto", "btc", "bct"] = "auto"
    block_kernels: bool = False
    fused_adam: bool
    seed: Seed

    def __post_init__(self) -> None:
        check_fields(self, "training")
        if self.speed_min > self.speed_max:
            raise UserError(
                f"training.speed_min={self.speed_min} is above training.speed_max={self.speed_max}."
            )
        pieces = self.n_processes * max(1, self.micro_batch)
        if self.batch_size % pieces:
            raise UserError(
                f"training.batch_size={self.batch_size} cannot be shared evenly by "
                f"training.devices={self.devices} times training.num_nodes={self.num_nodes} in "
                f"pieces of training.micro_batch={self.micro_batch}: make it a multiple of "
                f"{pieces}."
            )
        try:
            re.compile(self.speaker_groups)
        except re.error as error:
            text = f"training.speaker_groups={self.speaker_groups}"
            raise UserError(f"{text}: is no regular expression ({error}).") from error
        self._check_measures()

    def _check_measures(self) -> None:
        """What of the measures of speed excludes what."""
        if self.own_gradients == "on" and self.precision == "bf16" and self.layout == "bct":
            raise UserError(
                "training.own_gradients=on works in float32 only: set training.precision=fp32, or "
                "training.layout=btc."
            )
        if self.layout == "btc" and not (self.fused_norm and self.fused_depthwise):
            raise UserError(
                "training.layout=btc has its own norms and depthwise convolutions: leave "
                "training.fused_norm=true and training.fused_depthwise=true."
            )
        is_whole = self.forward_items == self.batch_size  # neither in pieces nor shared
        if self.cuda_graphs == "on" and (self.compile == "off" or not is_whole):
            raise UserError(
                "training.cuda_graphs=on records the compiled model's step on one GPU, whole: "
                "leave training.compile=auto, training.micro_batch=0 and training.devices=1."
            )

    @property
    def may_change(self) -> frozenset[str]:
        """Keys that may differ when a training goes on; longer, unless the rate knows the end."""
        bound = self.schedule == "cosine" or self.anneal_share > 0
        return MACHINE_KEYS if bound else MACHINE_KEYS | LENGTH_KEYS

    @property
    def n_processes(self) -> int:
        """One for each device."""
        return self.devices * self.num_nodes

    @property
    def forward_items(self) -> int:
        """Mixtures that go through the model at once."""
        return self.micro_batch or self.batch_size // self.n_processes
