"""Conv-TasNet (Luo and Mesgarani 2019), Asteroid's class."""

from dataclasses import dataclass
from typing import Literal

from separation.errors import UserError
from separation.models.architecture import FilterbankConf, MaskActivation
from separation.records import Count, PositiveInt

TCNNorm = Literal["gLN", "cLN", "cgLN", "fgLN"]


@dataclass(frozen=True, kw_only=True)
class ConvTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.ConvTasNet``."""

    bn_chan: PositiveInt
    hid_chan: PositiveInt
    skip_chan: Count
    conv_kernel_size: PositiveInt
    n_blocks: PositiveInt
    n_repeats: PositiveInt
    mask_act: MaskActivation
    norm_type: TCNNorm
    causal: bool

    def check(self) -> None:
        """Windows must overlap evenly; a causal network must not look ahead."""
        super().check()
        check_causal(self.causal, self.norm_type)

    def receptive_field(self) -> int:
        """Samples that one output sample depends on (Luo and Mesgarani 2019, Fig. 1)."""
        span = self.n_repeats * (self.conv_kernel_size - 1) * (2**self.n_blocks - 1)
        return span * self.stride + self.kernel_size


def check_causal(causal: bool, norm_type: str) -> None:
    """A causal network takes norms over the past only; raises :class:`UserError`."""
    if causal and norm_type not in ("cLN", "cgLN"):
        raise UserError("model.causal=true needs model.norm_type=cLN: gLN looks ahead.")


MODELS = {"ConvTasNet": ConvTasNetConf}
