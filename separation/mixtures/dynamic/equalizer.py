"""Random equalizers: sources as other microphones and rooms would colour them."""

from collections.abc import Callable

import torch

N_BANDS = 7  # where a curve is drawn, evenly on the mel scale
FLAT_SHARE = 0.3  # of the sources, which stay as they are
BREAK_HZ = 700.0  # of the mel scale (O'Shaughnessy 1987)


def draw_curve(take: Callable[[], float], max_db: float) -> tuple[float, ...]:
    """Gains of :data:`N_BANDS` bands, dB within ``max_db`` of 0; all 0 for some sources.

    >>> draw_curve(iter([0.9] + [0.5] * 7).__next__, 6.0)
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """
    is_flat = take() < FLAT_SHARE
    drawn = [(2 * take() - 1) * max_db for _ in range(N_BANDS)]
    return (0.0,) * N_BANDS if is_flat else tuple(drawn)


def equalize(signals: torch.Tensor, curves_db: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Signals through filters of zero phase, each at the power that it had.

    Between bands a curve is straight on the mel scale.

    Args:
        signals: float32 ``(n, time)``.
        curves_db: ``(n, N_BANDS)``, from 0 Hz to half the rate.
        sample_rate: in Hz.
    """
    n_samples = signals.shape[-1]
    spectra = torch.fft.rfft(signals)
    hertz = torch.linspace(0, sample_rate / 2, spectra.shape[-1], device=signals.device)
    mel = torch.log1p(hertz / BREAK_HZ)
    place = mel / mel[-1] * (N_BANDS - 1)
    low = place.long().clamp(max=N_BANDS - 2)
    share = place - low
    gains_db = curves_db[:, low] * (1 - share) + curves_db[:, low + 1] * share
    filtered = torch.fft.irfft(spectra * 10 ** (gains_db / 20), n=n_samples)
    before = signals.double().square().sum(-1, keepdim=True)
    after = filtered.double().square().sum(-1, keepdim=True)
    scales = torch.where(after > 0, before / after.clamp(min=1e-30), 1.0).sqrt().float()
    return filtered * scales
