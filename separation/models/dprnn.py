"""DPRNN-TasNet, a dual-path RNN (Luo, Chen and Yoshioka 2020), Asteroid's class."""

from dataclasses import dataclass
from typing import Annotated, Literal

from separation.errors import UserError
from separation.models.architecture import FilterbankConf, MaskActivation
from separation.records import Bounds, PositiveInt


@dataclass(frozen=True, kw_only=True)
class DPRNNTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.DPRNNTasNet``."""

    bn_chan: PositiveInt
    hid_size: PositiveInt
    chunk_size: PositiveInt
    hop_size: PositiveInt
    n_repeats: PositiveInt
    rnn_type: Literal["RNN", "LSTM", "GRU"]
    mask_act: MaskActivation
    norm_type: Literal["gLN", "cLN"]
    bidirectional: bool
    dropout: Annotated[float, Bounds(at_least=0, below=1)]

    def check(self) -> None:
        """Windows must overlap evenly, chunks must touch."""
        super().check()
        if self.hop_size > self.chunk_size:
            raise UserError(
                f"model.hop_size={self.hop_size} does not fit model.chunk_size={self.chunk_size}: "
                f"chunks must touch; use model.hop_size={max(1, self.chunk_size // 2)}."
            )


MODELS = {"DPRNNTasNet": DPRNNTasNetConf}
