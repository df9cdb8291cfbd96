"""LSTM-TasNet (Luo and Mesgarani 2018), Asteroid's class."""

from dataclasses import dataclass
from typing import Annotated, Literal

from separation.models.architecture import FilterbankConf, MaskActivation
from separation.records import Bounds, PositiveInt


@dataclass(frozen=True, kw_only=True)
class LSTMTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.LSTMTasNet``."""

    n_layers: PositiveInt
    hid_size: PositiveInt
    rnn_type: Literal["rnn", "lstm", "gru"]
    mask_act: MaskActivation
    bidirectional: bool
    dropout: Annotated[float, Bounds(at_least=0, below=1)]


MODELS = {"LSTMTasNet": LSTMTasNetConf}
