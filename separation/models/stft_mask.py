"""STFTMask, a baseline: Conv-TasNet's network masks the magnitudes of a fixed STFT.

A mask is applied to the mixture's complex STFT, so the estimate keeps the mixture's phase. Analysis
and synthesis are fixed, with the square root of a periodic Hann window on both sides; an unmasked
signal comes back as it was, its edges included.
"""

import functools
from dataclasses import dataclass
from typing import Annotated, Any

from separation.errors import UserError
from separation.models.architecture import (
    AsteroidConf,
    Depth,
    MaskActivation,
    Octaves,
    SkipWidth,
    Taps,
    Width,
)
from separation.models.conv_tasnet import TCNNorm, check_causal, check_dilations
from separation.records import Bounds

WindowLength = Annotated[float, Bounds(above=0, limit=10, unit="s")]
COMPRESSION = 1 / 3  # of magnitudes: loudness grows with about this power of the amplitude


@dataclass(frozen=True, kw_only=True)
class STFTMaskConf(AsteroidConf):
    """Window and hop in seconds, and arguments of ``asteroid.masknn.TDConvNet``."""

    in_asteroid = False

    window_s: WindowLength
    hop_s: WindowLength
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
        """The window is a whole number of hops; a causal network must not look ahead."""
        check_causal(self.causal, self.norm_type)
        check_dilations(self.n_blocks, self.conv_kernel_size)
        overlap = self.window_s / self.hop_s
        if round(overlap) < 2 or abs(overlap - round(overlap)) > 1e-6:
            raise UserError(
                f"model.window_s={self.window_s} is not two or more times model.hop_s="
                f"{self.hop_s}, a whole number of times; use model.hop_s={self.window_s / 4:g}."
            )

    def arguments(self, sample_rate: int) -> dict[str, Any]:
        """Keyword arguments of the network: window and hop in samples.

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
        values = super().arguments(sample_rate)
        del values["window_s"], values["hop_s"]
        return values | {"kernel_size": window, "stride": hop}

    @staticmethod
    def find_class(name: str) -> Any:
        """The network's class, known to Asteroid from now on."""
        return define_network()


@functools.cache
def define_network() -> Any:
    """The network's class, a mask per source for the magnitudes of one STFT."""
    import torch
    from asteroid_filterbanks import Decoder, Encoder
    from asteroid_filterbanks.stft_fb import STFTFB
    from asteroid_filterbanks.transforms import apply_mag_mask, mag
    from torch.nn.functional import pad

    from separation.models.asteroid import import_asteroid

    models, masknn = import_asteroid("models"), import_asteroid("masknn")

    class STFTMask(models.base_models.BaseEncoderMaskerDecoder):  # type: ignore[name-defined,misc]
        """Arguments: window and hop in samples, Hz, and those of ``TDConvNet``."""

        def __init__(self, n_src, kernel_size, stride, sample_rate: float = 8000, **rest: Any):
            banks = [STFTFB(kernel_size, kernel_size, stride, None, sample_rate) for _ in range(2)]
            n_bins = banks[0].cutoff
            network = masknn.TDConvNet(n_bins, n_src, out_chan=n_bins, **rest)
            super().__init__(Encoder(banks[0]), network, Decoder(banks[1]))
            self.overlap = kernel_size - stride

        def forward_encoder(self, wav: torch.Tensor) -> torch.Tensor:
            """``(batch, 1, time)`` to ``(batch, 2 bins, frames)``, all samples in full overlap."""
            spare = -wav.shape[-1] % self.encoder.stride
            return super().forward_encoder(pad(wav, (self.overlap, self.overlap + spare)))

        def forward_masker(self, tf_rep: torch.Tensor) -> torch.Tensor:
            """``(batch, 2 bins, frames)`` to masks ``(batch, n_src, bins, frames)``."""
            return super().forward_masker(mag(tf_rep) ** COMPRESSION)

        def apply_masks(self, tf_rep: torch.Tensor, est_masks: torch.Tensor) -> torch.Tensor:
            """One mask for real and imaginary part: ``(batch, n_src, 2 bins, frames)``."""
            return apply_mag_mask(tf_rep.unsqueeze(1), est_masks)

        def forward_decoder(self, masked_tf_rep: torch.Tensor) -> torch.Tensor:
            """``(batch, n_src, 2 bins, frames)`` to ``(batch, n_src, time)``, or longer."""
            return super().forward_decoder(masked_tf_rep)[..., self.overlap :]

        def get_model_args(self) -> dict[str, Any]:
            bank, masker = self.encoder.filterbank, self.masker.get_config()
            args = {name: getattr(bank, name) for name in ("kernel_size", "stride", "sample_rate")}
            return args | {k: v for k, v in masker.items() if k not in ("in_chan", "out_chan")}

    models.register_model(STFTMask)  # so that Asteroid's from_pretrained loads its files
    return STFTMask


MODELS = {"STFTMask": STFTMaskConf}
