"""DPTNet, a dual-path transformer with RNNs (Chen, Mao and Liu 2020), Asteroid's class."""

from dataclasses import dataclass
from typing import Annotated, Literal

from separation.models.architecture import (
    Depth,
    FilterbankConf,
    MaskActivation,
    Samples,
    Width,
    check_chunks,
    check_heads,
)
from separation.records import Bounds


@dataclass(frozen=True, kw_only=True)
class DPTNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.DPTNet``."""

    n_heads: Width
    ff_hid: Width
    chunk_size: Samples
    hop_size: Samples
    n_repeats: Depth
    norm_type: Literal["gLN", "cLN"]
    mask_act: MaskActivation
    bidirectional: bool
    dropout: Annotated[float, Bounds(at_least=0, below=1)]

    def check(self) -> None:
        """Windows must overlap evenly, chunks must touch, heads are equally wide."""
        super().check()
        check_chunks(self.hop_size, self.chunk_size)
        check_heads("n_filters", self.n_filters, self.n_heads)


MODELS = {"DPTNet": DPTNetConf}
