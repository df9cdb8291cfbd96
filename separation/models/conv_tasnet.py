"""Conv-TasNet (Luo and Mesgarani 2019), Asteroid's class."""

from dataclasses import dataclass
from typing import Literal

from separation.errors import UserError
from separation.models.architecture import (
    Depth,
    FilterbankConf,
    MaskActivation,
    Octaves,
    SkipWidth,
    Taps,
    Width,
)

TCNNorm = Literal["gLN", "cLN", "cgLN", "fgLN"]
WIDEST_SPAN = 500_000  # frames, minutes of speech: beyond, padding alone fills the memory


@dataclass(frozen=True, kw_only=True)
class ConvTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.ConvTasNet``."""

    bn_chan: Width
    hid_chan: Width
    skip_chan: SkipWidth
    conv_kernel_size: Taps
    n_blocks: Octaves
    n_repeats: Depth
    mask_act: MaskActivation
    norm_type: TCNNorm
    causal: bool

    def check(self) -> None:
        """Windows must overlap evenly; a causal network must not look ahead."""
        super().check()
        check_causal(self.causal, self.norm_type)
        check_dilations(self.n_blocks, self.conv_kernel_size)

    def receptive_field(self) -> int:
        """Samples that one output sample depends on (Luo and Mesgarani 2019, Fig. 1)."""
        span = self.n_repeats * (self.conv_kernel_size - 1) * (2**self.n_blocks - 1)
        return span * self.stride + self.kernel_size


def check_causal(causal: bool, norm_type: str) -> None:
    """A causal network takes norms over the past only; raises :class:`UserError`."""
    if causal and norm_type not in ("cLN", "cgLN"):
        raise UserError("model.causal=true needs model.norm_type=cLN: gLN looks ahead.")


def check_dilations(n_blocks: int, conv_kernel_size: int) -> None:
    """The widest convolution must fit into a mixture's frames; raises :class:`UserError`."""
    span = (conv_kernel_size - 1) * 2 ** (n_blocks - 1)
    if span > WIDEST_SPAN:
        raise UserError(
            f"model.n_blocks={n_blocks} with model.conv_kernel_size={conv_kernel_size}: the last "
            f"block would span {span} frames, and {WIDEST_SPAN} is the most; lower one of them."
        )


MODELS = {"ConvTasNet": ConvTasNetConf}
