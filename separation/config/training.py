"""The training section of a recipe's config."""

from dataclasses import dataclass

from separation.errors import UserError, check_choice

# What a training may change when it goes on: where and how it runs, which its items do not depend
# on, and its results only by rounding.
MACHINE_KEYS = frozenset(
    {"micro_batch", "max_skipped", "checkpoint_min", "examples_every", "devices", "num_nodes"}
    | {"mixing", "num_workers", "compile", "cuda_graphs", "fused_norm", "fused_depthwise"}
    | {"own_gradients", "fused_adam"}
)
LENGTH_KEYS = frozenset({"epochs", "budget_min", "early_stop"})  # where no learning rate follows


@dataclass(frozen=True)
class TrainingConf:
    """How the model is trained; conf/default.yml explains every key."""

    dynamic_mixing: bool  # mix anew for every step; false: the fixed training list
    random_crop: bool  # of a fixed mixture longer than segment_s; false: its beginning
    speed_min: float  # dynamic mixing plays each source this much faster, at random
    speed_max: float
    segment_s: float
    batch_size: int  # mixtures of one step, over all devices
    micro_batch: int  # mixtures at once on a device; 0: as many of its share as fit
    epoch_mixtures: int  # mixtures drawn for one epoch; 0: as many as the training list has
    epochs: int
    budget_min: float  # training stops after these minutes, whichever comes first
    lr: float
    schedule: str  # plateau | cosine | constant
    warmup_steps: int
    halve_after: int  # epochs without improvement
    anneal_share: float  # last share of the budget over which the rate falls to zero
    early_stop: int  # epochs without improvement; 0: never
    clip: float
    ema: float  # decay of the average of weights that is validated and saved; 0: none
    max_skipped: int  # steps in a row that are not finite
    init_from: str  # checkpoint to fine-tune; empty: random weights
    checkpoint_min: float  # minutes between checkpoints within an epoch
    dev_mixtures: int  # of the dev set, scored after every epoch; 0: all
    examples_every: int  # epochs between pictures and audio in TensorBoard; 0: none
    devices: int  # of each node
    num_nodes: int
    mixing: str  # of dynamic mixing: auto | host (num_workers processes) | device (the model's)
    num_workers: int
    precision: str  # auto | fp32 | bf16
    compile: str  # auto | on | off
    cuda_graphs: bool  # of the compiled model
    fused_norm: bool
    fused_depthwise: bool  # of the compiled model
    own_gradients: str  # of the compiled model: auto | on | off
    fused_adam: bool
    seed: int

    def __post_init__(self) -> None:
        check_choice("training.mixing", self.mixing, ("auto", "host", "device"))
        check_choice("training.precision", self.precision, ("auto", "fp32", "bf16"))
        for name in ("compile", "own_gradients"):
            check_choice(f"training.{name}", getattr(self, name), ("auto", "on", "off"))
        check_choice("training.schedule", self.schedule, ("plateau", "cosine", "constant"))
        above_0 = ("segment_s", "batch_size", "epochs", "budget_min", "lr")
        for name in (*above_0, "max_skipped", "checkpoint_min", "devices", "num_nodes"):
            if getattr(self, name) <= 0:
                raise UserError(f"training.{name}={getattr(self, name)} must be above 0.")
        at_least_0 = ("micro_batch", "examples_every", "warmup_steps", "clip", "num_workers")
        for name in (*at_least_0, "epoch_mixtures", "halve_after", "early_stop", "dev_mixtures"):
            if getattr(self, name) < 0:
                raise UserError(f"training.{name}={getattr(self, name)} is below 0.")
        if not 0 <= self.anneal_share <= 1:
            raise UserError(f"training.anneal_share={self.anneal_share} should lie within 0..1.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"training.seed={self.seed} should lie within 0..{2**32 - 1}.")
        self._check_measures()
        if not 0 <= self.ema < 1:
            raise UserError(f"training.ema={self.ema} should be 0 (none) or a decay below 1.")
        if self.batch_size % (self.n_processes * max(1, self.micro_batch)):
            raise UserError(
                f"training.batch_size={self.batch_size} cannot be shared evenly by "
                f"training.devices={self.devices} times training.num_nodes={self.num_nodes} in "
                f"pieces of training.micro_batch={self.micro_batch}: make it a multiple of "
                f"{self.n_processes * max(1, self.micro_batch)}."
            )
        if not 0.5 <= self.speed_min <= self.speed_max <= 2:
            raise UserError(
                f"training.speed_min={self.speed_min} and training.speed_max={self.speed_max} "
                "should lie between 0.5 and 2, the first not above the second."
            )

    def _check_measures(self) -> None:
        """What of the measures of speed excludes what."""
        if self.own_gradients == "on" and self.precision == "bf16":
            raise UserError(
                "training.own_gradients=on works in float32 only: set training.precision=fp32."
            )
        if self.cuda_graphs and (self.compile == "off" or self.micro_batch or self.n_processes > 1):
            raise UserError(
                "training.cuda_graphs=true records the compiled model's step on one GPU, whole: "
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
