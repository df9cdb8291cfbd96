"""LSTM-TasNet (Luo and Mesgarani 2018), Asteroid's class."""

from dataclasses import dataclass
from typing import Annotated, Literal

from separation.models.architecture import Depth, FilterbankConf, MaskActivation, Width
from separation.records import Bounds


@dataclass(frozen=True, kw_only=True)
class LSTMTasNetConf(FilterbankConf):
    """Arguments of ``asteroid.models.LSTMTasNet``."""

    n_layers: Depth
    hid_size: Width
    rnn_type: Literal["rnn", "lstm", "gru"]
    mask_act: MaskActivation
    bidirectional: bool
    dropout: Annotated[float, Bounds(at_least=0, below=1)]


MODELS = {"LSTMTasNet": LSTMTasNetConf}
