"""DPRNN-TasNet, a dual-path RNN (Luo, Chen and Yoshioka 2020), Asteroid's class."""

from dataclasses import dataclass
from typing import Annotated, Literal

from separation.models.architecture import (
    Depth,
    FilterbankConf,
    MaskActivation,
    Samples,
    Width,
    check_chunks,
)
from separation.records import Bounds


@dataclass(frozen=True, kw_only=True)
class DPRNNTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.DPRNNTasNet``."""

    bn_chan: Width
    hid_size: Width
    chunk_size: Samples
    hop_size: Samples
    n_repeats: Depth
    rnn_type: Literal["RNN", "LSTM", "GRU"]
    mask_act: MaskActivation
    norm_type: Literal["gLN", "cLN"]
    bidirectional: bool
    dropout: Annotated[float, Bounds(at_least=0, below=1)]

    def check(self) -> None:
        """Windows must overlap evenly, chunks must touch."""
        super().check()
        check_chunks(self.hop_size, self.chunk_size)


MODELS = {"DPRNNTasNet": DPRNNTasNetConf}
