"""SepReformer (Shin, Lee, Kim and Park, NeurIPS 2024): the record; see sepreformer_network."""

from dataclasses import dataclass
from typing import Annotated, Any

from separation.errors import UserError
from separation.models.architecture import (
    Depth,
    FilterbankConf,
    Octaves,
    Samples,
    Taps,
    Width,
    check_heads,
)
from separation.records import Bounds


@dataclass(frozen=True, kw_only=True)
class SepReformerConf(FilterbankConf):
    """Arguments of the network, in the paper's letters: L, H, F, R, B_E, B_D."""

    in_asteroid = False
    fused = False  # it has none of Asteroid's layers
    compiled_on_cpu = False  # its layers take a CPU's compiler longer than they save it

    bn_chan: Width
    n_stages: Octaves
    n_encoder_blocks: Depth
    n_decoder_blocks: Depth
    n_heads: Width
    conv_kernel_size: Taps
    max_distance: Samples
    dropout: Annotated[float, Bounds(at_least=0, below=1)]
    shared_split: bool

    def check(self) -> None:
        """Windows overlap evenly, heads are equally wide, convolutions are centred."""
        super().check()
        check_heads("bn_chan", self.bn_chan, self.n_heads)
        if self.conv_kernel_size % 2 == 0:
            raise UserError(
                f"model.conv_kernel_size={self.conv_kernel_size} has no middle; use "
                f"model.conv_kernel_size={self.conv_kernel_size + 1}."
            )

    @staticmethod
    def find_class(name: str) -> Any:
        """The network's class, known to Asteroid from now on."""
        from separation.models.sepreformer_network import SepReformer

        return SepReformer


MODELS = {"SepReformer": SepReformerConf}
