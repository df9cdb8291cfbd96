"""The training's losses: Asteroid's PIT wrapper over its negative SDRs, without waits for a GPU."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch

from separation.config.training import TrainingConf
from separation.models.asteroid import import_asteroid

# training.loss -> what asteroid.losses calls it. All are negative ratios in dB of signals without
# their means, of estimate i against source j (Le Roux et al. 2019):
LOSSES = {
    "si_sdr": "pairwise_neg_sisdr",  # the source scaled to fit the estimate; the level stays open
    "snr": "pairwise_neg_snr",  # the source as it is; the estimate gets its level
    "sd_sdr": "pairwise_neg_sdsdr",  # scaled source over unscaled error: wrong levels cost more
}
WINDOW_S = 0.064  # of the magnitudes that early estimates are compared by
LOWEST_SCALE = 0.01  # of a source, where an estimate has nothing of it
EPSILON = 1e-8
SILENT_SHARE = 1e-6  # of all sources' power, below which a source is silent


def make_pit_loss(name: str = "si_sdr", ceiling_db: float = 0.0) -> Any:
    """Asteroid's ``PITLossWrapper`` of a pairwise loss (dB), its search replaced.

    Asteroid's own looks each item's permutation up by a number that the host must wait for, so
    that a step of 24 mixtures stops the GPU 24 times. Values and gradients are the same.

    Args:
        name: of :data:`LOSSES`.
        ceiling_db: of each source's ratio, above which its loss falls no further; 0: none.
    """
    losses = import_asteroid("losses")
    pairwise = getattr(losses, LOSSES[name])
    return _wrap(_limit(pairwise, ceiling_db) if ceiling_db else pairwise)


def make_early_loss(conf: TrainingConf, sample_rate: float) -> Any:
    """The PIT loss of a network's early estimates, see ``training.early_loss``.

    Args:
        conf: training config.
        sample_rate: Hz, of the signals.
    """
    if conf.early_loss == "same":
        return make_pit_loss(conf.loss, conf.loss_ceiling)
    return _wrap(functools.partial(compare_magnitudes, n_window=round(WINDOW_S * sample_rate)))


def _wrap(pairwise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Any:
    """The PIT loss of a function of estimates and sources to ``(batch, n_src, n_src)``."""
    heard = functools.partial(leave_out_silent, pairwise)
    wrapper = import_asteroid("losses").PITLossWrapper(heard, pit_from="pw_mtx")
    wrapper.find_best_perm = find_best_permutation
    return wrapper


def leave_out_silent(
    pairwise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    estimates: torch.Tensor,
    sources: torch.Tensor,
) -> torch.Tensor:
    """A pairwise loss whose mean over the sources is that over those which are not silent.

    A ratio to a silent source is a constant, some +80 dB, that would swamp a batch's mean.

    Args:
        pairwise: of estimates and sources.
        estimates: ``(batch, n_src, time)``.
        sources: ``(batch, n_src, time)``; of a silent one no estimate has a loss.

    Returns:
        ``(batch, n_src, n_src)``: of estimate i against source j.
    """
    losses = pairwise(estimates, sources)
    powers = sources.square().sum(-1)
    heard = powers > SILENT_SHARE * powers.sum(-1, keepdim=True)
    weights = heard.shape[-1] / heard.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(heard[:, None], losses, 0.0) * weights[:, None]


def _limit(
    pairwise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ceiling_db: float
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A pairwise loss that is never below ``-ceiling_db``."""
    return lambda estimates, sources: pairwise(estimates, sources).clamp(min=-ceiling_db)


def compare_magnitudes(
    estimates: torch.Tensor, sources: torch.Tensor, n_window: int
) -> torch.Tensor:
    """Negative ratio in dB of STFT magnitudes, each source scaled to fit the estimate.

    Early estimates of SepReformer are made at lower frame rates, from which phases cannot be had
    (Shin et al. 2024). Signals are taken without their means.

    Args:
        estimates: ``(batch, n_src, time)``.
        sources: ``(batch, n_src, time)``.
        n_window: samples of the Hann window; windows are a quarter of it apart.

    Returns:
        ``(batch, n_src, n_src)``: of estimate i against source j.
    """
    estimates = estimates - estimates.mean(-1, keepdim=True)
    sources = sources - sources.mean(-1, keepdim=True)
    products = estimates @ sources.transpose(1, 2)
    scales = (products / (sources.square().sum(-1)[:, None] + EPSILON)).clamp(min=LOWEST_SCALE)
    heard = _measure_stft(estimates, n_window)[:, :, None]
    wanted = _measure_stft(sources, n_window)[:, None] * scales[..., None, None]
    errors = (heard - wanted).square().sum((-2, -1))
    return -10 * torch.log10(wanted.square().sum((-2, -1)) / (errors + EPSILON) + EPSILON)


def _measure_stft(signals: torch.Tensor, n_window: int) -> torch.Tensor:
    """``(batch, n_src, time)`` to magnitudes ``(batch, n_src, bins, frames)``."""
    window = torch.hann_window(n_window, device=signals.device)
    spectrum = torch.stft(
        signals.flatten(0, 1), n_window, n_window // 4, window=window, return_complex=True
    )
    power = torch.view_as_real(spectrum).square().sum(-1)
    return (power + EPSILON).sqrt().unflatten(0, signals.shape[:2])


def find_best_permutation(
    pairwise: torch.Tensor, perm_reduce: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The permutation of the lowest mean loss, all of them tried; stands in for Asteroid's.

    Args:
        pairwise: losses ``(batch, n_src, n_src)`` of estimate i against source j.
        perm_reduce: Asteroid's argument; None here, the mean.

    Returns:
        losses ``(batch,)``; the estimate of each source, ``(batch, n_src)``.
    """
    assert perm_reduce is None
    permutations, chosen = list_permutations(pairwise.shape[-1], pairwise.device)
    lowest, which = _find_lowest(pairwise, chosen)
    return lowest, permutations[which]


def _find_lowest(pairwise: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lowest mean over permutations ``(n, n_src, n_src)`` of ones, and which it is."""
    sums = (pairwise.transpose(1, 2)[:, None] * chosen).sum((2, 3))
    lowest, which = (sums / pairwise.shape[-1]).min(dim=1)
    return lowest, which


def compile_loss(pit_loss: Any) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A PIT loss of :func:`make_pit_loss` in few kernels: eagerly it is sixty, and as many again.

    Args:
        pit_loss: estimates and sources, ``(batch, n_src, time)``, to their mean loss.
    """

    def find_mean(
        estimates: torch.Tensor, sources: torch.Tensor, chosen: torch.Tensor
    ) -> torch.Tensor:
        return _find_lowest(pit_loss.loss_func(estimates, sources), chosen)[0].mean()

    compiled = torch.compile(find_mean, dynamic=False)

    def measure(estimates: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        # made outside: the compiler would make the permutations anew in every step
        return compiled(estimates, sources, list_permutations(sources.shape[1], sources.device)[1])

    return measure


@functools.cache
def list_permutations(n_src: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """All permutations ``(n_src!, n_src)``, and the same as ones ``(n_src!, n_src, n_src)``.

    Made once a device: making them copies from the host.
    """
    with torch.inference_mode(False):  # whoever asks first, training may use them
        permutations = torch.tensor(list(itertools.permutations(range(n_src))))
        chosen = torch.nn.functional.one_hot(permutations, n_src).float()
        return permutations.to(device), chosen.to(device)
