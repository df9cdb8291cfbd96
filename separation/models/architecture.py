"""What every architecture says of itself. Light: a config is checked before torch is imported."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from separation.errors import UserError
from separation.records import Bounds, check_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

MaskActivation = Literal[
    "relu", "sigmoid", "softmax", "tanh", "linear", "prelu", "leaky_relu", "gelu", "swish"
]

# Beyond these a network is built and run for hours, or does not fit into any memory.
Width = Annotated[int, Bounds(above=0, limit=16384)]  # channels, filters, units
SkipWidth = Annotated[int, Bounds(at_least=0, limit=16384)]
Taps = Annotated[int, Bounds(above=0, limit=2048)]
Depth = Annotated[int, Bounds(above=0, limit=200)]  # layers, repeats
Octaves = Annotated[int, Bounds(above=0, limit=20)]  # what doubles a dilation or halves a rate
Samples = Annotated[int, Bounds(above=0, limit=100_000)]  # of a window or a chunk's frames
Hertz = Annotated[int, Bounds(at_least=0, limit=768_000)]


def find_training_pass(model: "nn.Module") -> "Callable[[torch.Tensor], torch.Tensor]":
    """What training runs: the network itself, or its ``estimate_all`` where it has one.

    ``estimate_all`` gives ``(n_estimates, batch, n_src, time)``: estimates of earlier stages, which
    ``training.early_loss`` trains, and last what the network itself gives.
    """
    return getattr(model, "estimate_all", model)


@dataclass(frozen=True)
class BuiltAs:
    """What a network of our own was built from, kept at ``model.built_as`` for its saved file."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelConf:
    """The ``model`` section of a recipe: a name and the keys that this architecture takes.

    A file of this folder holds one subclass for each of its architectures, and a table ``MODELS``
    from ``model.name`` to it. The defaults of the keys stand in conf/default.yml. Importing the
    file must import neither torch nor Asteroid, :meth:`build` does.

    Class attributes:
        bf16: false: the network does not compute under bfloat16 autocast at all.
        compiled: false: ``torch.compile`` is not tried.
        compiled_on_cpu: false: on a CPU it is tried with ``training.compile=on`` only.
        fused: false: layers are not replaced by the faster ones of ``separation.models.fast``.
        in_asteroid: whether ``asteroid.models.BaseModel.from_pretrained`` alone loads its files.
    """

    bf16: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    compiled_on_cpu: ClassVar[bool] = True
    fused: ClassVar[bool] = True
    in_asteroid: ClassVar[bool] = False

    name: str

    def __post_init__(self) -> None:
        check_fields(self, "model")
        self.check()

    def check(self) -> None:
        """What the fields' annotations cannot say; raises :class:`UserError`."""

    def check_precision(self, precision: str) -> None:
        """Refuse ``training.precision=bf16`` for an architecture that cannot do it.

        Raises:
            UserError: it cannot.
        """
        if precision == "bf16" and not self.bf16:
            raise UserError(
                f"training.precision=bf16: {self.name} works in float32 only; set "
                "training.precision=fp32 or auto."
            )

    def scaled(self, sample_rate: int) -> Self:
        """The same lengths in seconds at another sample rate (Hz); raises :class:`UserError`."""
        return self

    def receptive_field(self) -> int | None:
        """Samples that one output sample depends on; None where it is not bounded or not known."""
        return None

    def build(self, n_src: int, sample_rate: int) -> "nn.Module":
        """The network, with random weights.

        Args:
            n_src: number of speakers.
            sample_rate: Hz.

        Returns:
            a model ``(batch, time) -> (batch, n_src, time)``.
        """
        raise NotImplementedError

    def saved_arguments(self, n_src: int, sample_rate: int) -> dict[str, Any]:
        """What a saved file holds to make the model again, see :meth:`rebuild`."""
        values = dataclasses.asdict(self)
        del values["name"]
        return {"n_src": n_src, "sample_rate": sample_rate} | values

    @classmethod
    def rebuild(cls, name: str, arguments: dict[str, Any]) -> "nn.Module":
        """The model of a saved file, before its weights are loaded.

        Args:
            name: under which the architecture is listed.
            arguments: as :meth:`saved_arguments` gave them.
        """
        values = dict(arguments)
        n_src, sample_rate = values.pop("n_src"), values.pop("sample_rate")
        return cls(name=name, **values).build(n_src, sample_rate)


@dataclass(frozen=True, kw_only=True)
class AsteroidConf(ModelConf):
    """An architecture whose network is one of Asteroid's classes, or made like one.

    A saved file names the class and its constructor's arguments, as Asteroid's files do.
    """

    in_asteroid: ClassVar[bool] = True

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """Keyword arguments of the class, but for ``n_src`` and ``sample_rate`` (Hz)."""
        values = dataclasses.asdict(self)
        del values["name"]
        return values

    @staticmethod
    def find_class(name: str) -> Any:
        """The class of that name."""
        from separation.models.asteroid import import_asteroid

        return getattr(import_asteroid("models"), name)

    def build(self, n_src: int, sample_rate: int) -> "nn.Module":
        """The network, with random weights."""
        arguments = self.saved_arguments(n_src, sample_rate)
        return self.find_class(self.name)(**arguments)

    def saved_arguments(self, n_src: int, sample_rate: int) -> dict[str, Any]:
        """Keyword arguments of the class."""
        return {"n_src": n_src, "sample_rate": sample_rate} | self.arguments(sample_rate)

    @classmethod
    def rebuild(cls, name: str, arguments: dict[str, Any]) -> "nn.Module":
        """The model of a saved file, before its weights are loaded."""
        return cls.find_class(name)(**arguments)


@dataclass(frozen=True, kw_only=True)
class FilterbankConf(AsteroidConf):
    """An Asteroid model over a free, trained filterbank, such as TasNet's (Luo and Mesgarani).

    ``kernel_rate`` is the rate in Hz that ``kernel_size`` and ``stride`` are given for; 0: any.
    """

    n_filters: Width
    kernel_size: Samples
    stride: Samples
    kernel_rate: Hertz

    def check(self) -> None:
        """Windows must overlap evenly."""
        if self.kernel_size % self.stride or self.kernel_size == self.stride:
            raise UserError(
                f"model.stride={self.stride} does not fit model.kernel_size={self.kernel_size}: "
                "windows must overlap evenly; use model.stride="
                f"{max(1, self.kernel_size // 2)} (half the kernel)."
            )

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """Keyword arguments of the class, but for ``n_src`` and ``sample_rate`` (Hz)."""
        values = super().arguments(sample_rate)
        del values["kernel_rate"]
        return values

    def scaled(self, sample_rate: int) -> Self:
        """The same windows in seconds at another sample rate (Hz).

        Raises:
            UserError: they are no whole number of samples there.
        """
        if self.kernel_rate in (0, sample_rate):
            return self
        lengths = {}
        for name in ("kernel_size", "stride"):
            given = getattr(self, name)
            lengths[name], rest = divmod(given * sample_rate, self.kernel_rate)
            if rest:
                raise UserError(
                    f"model.{name}={given}, given for model.kernel_rate={self.kernel_rate} Hz, is "
                    f"no whole number at audio.sample_rate={sample_rate}; set model.kernel_size, "
                    "model.stride and model.kernel_rate=0 for this rate."
                )
        return dataclasses.replace(self, kernel_rate=sample_rate, **lengths)


def check_chunks(hop_size: int, chunk_size: int) -> None:
    """Chunks of frames must touch; raises :class:`UserError`."""
    if hop_size > chunk_size:
        raise UserError(
            f"model.hop_size={hop_size} does not fit model.chunk_size={chunk_size}: "
            f"chunks must touch; use model.hop_size={max(1, chunk_size // 2)}."
        )


def check_heads(key: str, channels: int, n_heads: int) -> None:
    """Heads share the channels evenly; raises :class:`UserError`."""
    if channels % n_heads:
        raise UserError(
            f"model.{key}={channels} cannot be shared by model.n_heads={n_heads} evenly; use "
            f"model.{key}={n_heads * max(1, round(channels / n_heads))}."
        )
