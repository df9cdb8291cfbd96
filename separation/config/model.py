"""The `model` section of a recipe: one dataclass for each model that can be named.

Every model takes keys of its own, and a key that it does not take is refused. The
`models` section of conf/default.yml holds the defaults of those that are not its `model` section.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from separation.errors import UserError

NORMS = ("gLN", "cLN", "cgLN", "fgLN")
MASKS = ("relu", "sigmoid", "softmax", "tanh", "linear", "prelu", "leaky_relu", "gelu", "swish")


@dataclass(frozen=True)
class ModelConf:
    """What all models have: a name of ``asteroid.models``, or STFTMask."""

    name: str

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """Keyword arguments of the model's class, but for ``n_src`` and ``sample_rate`` (Hz)."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if key != "name"}

    def receptive_field(self) -> int | None:
        """Samples that one output sample depends on; None where it is not bounded or not known."""
        return None

    def scaled(self, sample_rate: int) -> Self:
        """The same windows in seconds at another sample rate (Hz).

        Raises:
            UserError: they are no whole number of samples there.
        """
        given_for = getattr(self, "kernel_rate", 0)
        if given_for in (0, sample_rate):
            return self
        changes: dict[str, Any] = {"kernel_rate": sample_rate}
        for name in ("kernel_size", "stride"):
            length = getattr(self, name) * sample_rate / given_for
            if length != int(length):
                raise UserError(
                    f"model.{name}={getattr(self, name)}, given for model.kernel_rate={given_for} "
                    f"Hz, is no whole number at audio.sample_rate={sample_rate}; set "
                    "model.kernel_size, model.stride and model.kernel_rate=0 for this rate."
                )
            changes[name] = int(length)
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class ConvTasNetConf(ModelConf):
    """Arguments of asteroid.models.ConvTasNet."""

    n_filters: int
    kernel_size: int
    stride: int
    kernel_rate: int  # Hz that kernel_size and stride are given for; 0: for any
    bn_chan: int
    hid_chan: int
    skip_chan: int
    conv_kernel_size: int
    n_blocks: int
    n_repeats: int
    mask_act: str
    norm_type: str
    causal: bool

    def __post_init__(self) -> None:
        _check_stride(self.kernel_size, self.stride)
        _check_tcn(self)

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """As ``asteroid.models.ConvTasNet`` names them."""
        return _without(super().arguments(sample_rate), "kernel_rate")

    def receptive_field(self) -> int:
        """Samples that one output sample depends on (Luo and Mesgarani 2019, Fig. 1)."""
        span = self.n_repeats * (self.conv_kernel_size - 1) * (2**self.n_blocks - 1)
        return span * self.stride + self.kernel_size


@dataclass(frozen=True)
class DPRNNTasNetConf(ModelConf):
    """Arguments of asteroid.models.DPRNNTasNet (Luo, Chen and Yoshioka 2020)."""

    n_filters: int
    kernel_size: int
    stride: int
    kernel_rate: int  # Hz that kernel_size and stride are given for; 0: for any
    bn_chan: int
    hid_size: int  # of each direction of an RNN
    chunk_size: int  # frames
    hop_size: int  # frames
    n_repeats: int
    rnn_type: str
    mask_act: str
    norm_type: str
    bidirectional: bool  # of the RNN over chunks; within a chunk it always is
    dropout: float

    def __post_init__(self) -> None:
        _check_stride(self.kernel_size, self.stride)
        _check_choice(self, "mask_act", MASKS)
        _check_choice(self, "norm_type", ("gLN", "cLN"))
        _check_choice(self, "rnn_type", ("RNN", "LSTM", "GRU"))
        if not 0 <= self.dropout < 1:
            raise UserError(f"model.dropout={self.dropout} is not within 0..1.")
        if not 0 < self.hop_size <= self.chunk_size:
            raise UserError(
                f"model.hop_size={self.hop_size} does not fit model.chunk_size={self.chunk_size}: "
                f"chunks must touch; use model.hop_size={max(1, self.chunk_size // 2)}."
            )

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """As ``asteroid.models.DPRNNTasNet`` names them."""
        return _without(super().arguments(sample_rate), "kernel_rate")


@dataclass(frozen=True)
class SuDORMRFNetConf(ModelConf):
    """Arguments of asteroid.models.SuDORMRFNet, and of SuDORMRFImprovedNet (Tzinis et al. 2020)."""

    n_filters: int
    kernel_size: int  # odd; the stride is its half
    bn_chan: int
    num_blocks: int
    upsampling_depth: int
    mask_act: str

    def __post_init__(self) -> None:
        _check_choice(self, "mask_act", MASKS)
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UserError(
                f"model.kernel_size={self.kernel_size} does not fit {self.name}, whose stride is "
                f"half of an odd kernel; use model.kernel_size={max(3, self.kernel_size + 1)}."
            )


@dataclass(frozen=True)
class STFTMaskConf(ModelConf):
    """Arguments of :class:`~separation.models.stft_mask.STFTMask`."""

    window_s: float
    hop_s: float
    bn_chan: int
    hid_chan: int
    skip_chan: int
    conv_kernel_size: int
    n_blocks: int
    n_repeats: int
    mask_act: str
    norm_type: str
    causal: bool

    def __post_init__(self) -> None:
        _check_tcn(self)
        overlap = self.window_s / self.hop_s if self.hop_s > 0 else 0.0
        if round(overlap) < 2 or abs(overlap - round(overlap)) > 1e-6:
            raise UserError(
                f"model.window_s={self.window_s} is not two or more times model.hop_s="
                f"{self.hop_s}, a whole number of times; use model.hop_s={self.window_s / 4:g}."
            )

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """As :class:`separation.models.stft_mask.STFTMask` names them: window and hop in samples.

        Raises:
            UserError: the window has an odd number of samples, which the filterbank refuses.
        """
        hop = max(1, round(self.hop_s * sample_rate))
        window = hop * round(self.window_s / self.hop_s)
        if window % 2:
            raise UserError(
                f"model.hop_s={self.hop_s} gives windows of {window} samples at {sample_rate} Hz; "
                "an even number is needed: make the window an even number of hops."
            )
        own = _without(super().arguments(sample_rate), "window_s", "hop_s")
        return own | {"kernel_size": window, "stride": hop}


MODELS: dict[str, type[ModelConf]] = {
    "ConvTasNet": ConvTasNetConf,
    "DPRNNTasNet": DPRNNTasNetConf,
    "SuDORMRFNet": SuDORMRFNetConf,
    "SuDORMRFImprovedNet": SuDORMRFNetConf,
    "STFTMask": STFTMaskConf,
}


def find_conf_class(name: str) -> type[ModelConf]:
    """The dataclass of a model's keys; raises :class:`UserError` where no such model is known."""
    if name not in tuple(MODELS):
        raise UserError(f"model.name={name} is unknown; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def _check_stride(kernel_size: int, stride: int) -> None:
    if stride < 1 or kernel_size % stride or kernel_size == stride:
        raise UserError(
            f"model.stride={stride} does not fit model.kernel_size={kernel_size}: "
            "windows must overlap evenly; use model.stride="
            f"{max(1, kernel_size // 2)} (half the kernel)."
        )


def _check_tcn(conf: ConvTasNetConf | STFTMaskConf) -> None:
    _check_choice(conf, "mask_act", MASKS)
    _check_choice(conf, "norm_type", NORMS)
    if conf.causal and conf.norm_type not in ("cLN", "cgLN"):
        raise UserError("model.causal=true needs model.norm_type=cLN: gLN looks ahead.")


def _check_choice(conf: ModelConf, key: str, allowed: tuple[str, ...]) -> None:
    value = getattr(conf, key)
    if value not in allowed:
        raise UserError(f"model.{key}={value} is unknown; choose one of {', '.join(allowed)}.")


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}
