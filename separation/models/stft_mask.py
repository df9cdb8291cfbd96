"""The baseline to doubt oneself with: Conv-TasNet's network over a fixed STFT.

Import it before ``asteroid.models.BaseModel.from_pretrained`` loads such a checkpoint;
:func:`separation.models.asteroid.load_model` does so by itself.
"""

from typing import Any

import torch
from asteroid_filterbanks import Decoder, Encoder
from asteroid_filterbanks.stft_fb import STFTFB
from asteroid_filterbanks.transforms import apply_mag_mask, mag
from torch.nn import functional

from separation.models.asteroid import import_asteroid

_models = import_asteroid("models.base_models")
_masknn = import_asteroid("masknn")

COMPRESSION = 1 / 3  # of magnitudes: loudness grows with about this power of the amplitude


class STFTMask(_models.BaseEncoderMaskerDecoder):  # type: ignore[name-defined,misc]
    """TDConvNet (Luo and Mesgarani 2019) estimates masks of an STFT's magnitudes.

    A mask is applied to the mixture's complex STFT, so the estimate keeps the mixture's phase.
    Analysis and synthesis are fixed, with the square root of a periodic Hann window on both sides;
    an unmasked signal comes back as it was, its edges included.

    Args:
        n_src: number of masks.
        kernel_size: window, in samples; even, and a multiple of ``stride``.
        stride: hop, in samples.
        sample_rate: Hz.
        masker: arguments of ``asteroid.masknn.TDConvNet``, but for its channels in and out.
    """

    def __init__(
        self, n_src: int, kernel_size: int, stride: int, sample_rate: float = 8000, **masker: Any
    ) -> None:
        banks = [STFTFB(kernel_size, kernel_size, stride, None, sample_rate) for _ in range(2)]
        n_bins = banks[0].cutoff
        network = _masknn.TDConvNet(n_bins, n_src, out_chan=n_bins, **masker)
        super().__init__(Encoder(banks[0]), network, Decoder(banks[1]))
        self.overlap = kernel_size - stride

    def forward_encoder(self, wav: torch.Tensor) -> torch.Tensor:
        """``(batch, 1, time)`` to ``(batch, 2 bins, frames)``, all samples in full overlap."""
        spare = -wav.shape[-1] % self.encoder.stride
        return super().forward_encoder(functional.pad(wav, (self.overlap, self.overlap + spare)))

    def forward_masker(self, tf_rep: torch.Tensor) -> torch.Tensor:
        """``(batch, 2 bins, frames)`` to masks ``(batch, n_src, bins, frames)``."""
        return super().forward_masker(mag(tf_rep) ** COMPRESSION)

    def apply_masks(self, tf_rep: torch.Tensor, est_masks: torch.Tensor) -> torch.Tensor:
        """One mask for real and imaginary part: ``(batch, n_src, 2 bins, frames)``."""
        return apply_mag_mask(tf_rep.unsqueeze(1), est_masks)

    def forward_decoder(self, masked_tf_rep: torch.Tensor) -> torch.Tensor:
        """``(batch, n_src, 2 bins, frames)`` to ``(batch, n_src, time)``, or a little longer."""
        return super().forward_decoder(masked_tf_rep)[..., self.overlap :]

    def get_model_args(self) -> dict[str, Any]:
        """Arguments that make this model again."""
        bank, masker = self.encoder.filterbank, self.masker.get_config()
        own = {name: getattr(bank, name) for name in ("kernel_size", "stride", "sample_rate")}
        return own | {k: v for k, v in masker.items() if k not in ("in_chan", "out_chan")}


import_asteroid("models").register_model(STFTMask)
