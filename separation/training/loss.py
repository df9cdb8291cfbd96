"""The training's losses: Asteroid's PIT wrapper over its negative SDRs, without waits for a GPU."""

import functools
import itertools
from typing import Any

import torch

from separation.models.asteroid import import_asteroid

# training.loss -> what asteroid.losses calls it. All are negative ratios in dB of signals without
# their means, of estimate i against source j (Le Roux et al. 2019):
LOSSES = {
    "si_sdr": "pairwise_neg_sisdr",  # the source scaled to fit the estimate; the level stays open
    "snr": "pairwise_neg_snr",  # the source as it is; the estimate gets its level
    "sd_sdr": "pairwise_neg_sdsdr",  # scaled source over unscaled error: wrong levels cost more
}


def make_pit_loss(name: str = "si_sdr") -> Any:
    """Asteroid's ``PITLossWrapper`` of a pairwise loss (dB), its search replaced.

    Asteroid's own looks each item's permutation up by a number that the host must wait for, so
    that a step of 24 mixtures stops the GPU 24 times. Values and gradients are the same.

    Args:
        name: of :data:`LOSSES`.
    """
    losses = import_asteroid("losses")
    wrapper = losses.PITLossWrapper(getattr(losses, LOSSES[name]), pit_from="pw_mtx")
    wrapper.find_best_perm = find_best_permutation
    return wrapper


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
    n_src = pairwise.shape[-1]
    permutations, chosen = list_permutations(n_src, pairwise.device)
    sums = (pairwise.transpose(1, 2)[:, None] * chosen).sum((2, 3))
    lowest, which = (sums / n_src).min(dim=1)
    return lowest, permutations[which]


@functools.cache
def list_permutations(n_src: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """All permutations ``(n_src!, n_src)``, and the same as ones ``(n_src!, n_src, n_src)``.

    Made once a device: making them copies from the host.
    """
    with torch.inference_mode(False):  # whoever asks first, training may use them
        permutations = torch.tensor(list(itertools.permutations(range(n_src))))
        chosen = torch.nn.functional.one_hot(permutations, n_src).float()
        return permutations.to(device), chosen.to(device)
