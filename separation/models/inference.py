"""Running a separation model on one signal or many, and setting the level of its outputs."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from separation.device import is_out_of_memory
from separation.models import chunks
from separation.models.fast.inference import InferenceConvTasNet
from separation.models.fast.time_major import find_obstacle

logger = logging.getLogger(__name__)

# On a GPU: enough that its kernels take longer than starting them, and well below its memory.
JOINED_ITEMS, JOINED_SAMPLES = 16, 2**19
DEFAULT_RATE = 16000  # Hz, of a model that states none


@contextlib.contextmanager
def multiply_exactly() -> Iterator[None]:
    """Without TF32, whose 10 bits of mantissa make a GPU's scores differ from a CPU's.

    PyTorch allows it for convolutions by default.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


class Separator:
    """A model over mixtures of any lengths; each gets the estimates that it gets alone (to 1e-5).

    One of more than ``LONGEST_WHOLE_S`` (:mod:`separation.models.chunks`) goes through in chunks.

    On a GPU several go through together: those of unlike lengths where the model has a form for
    it, :mod:`separation.models.fast.inference`, else those of equal length. A CPU gains nothing by
    that, but the form is faster there too.

    Args:
        model: in evaluation mode.
        device: that it is on.
        plain: runs what cannot be joined; None: the model.
        may_join: whether the form for unlike lengths may run.
        bf16: let that form multiply bfloat16 numbers: estimates about 40 dB from those of float32.

    Attributes:
        n_at_once: mixtures of which groups are best made: give it so many at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        plain: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        may_join: bool = True,
        bf16: bool = False,
    ) -> None:
        self.model, self.plain = model, plain or model
        self.sample_rate = float(getattr(model, "sample_rate", DEFAULT_RATE))
        joins = may_join and not find_obstacle(model)
        self.joined = InferenceConvTasNet(model, bf16=bf16) if joins else None
        self.is_on_gpu = device.type == "cuda"
        self.n_at_once = 4 * JOINED_ITEMS if self.is_on_gpu else 1

    def separate(self, mixtures: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Mixtures ``(time,)`` on the device to float32 estimates ``(n_src, time)``."""
        estimates: dict[int, torch.Tensor] = {}
        whole = [place for place, own in enumerate(mixtures) if len(own) <= self.longest_whole]
        for group in self._group([len(mixtures[place]) for place in whole]):
            places = [whole[number] for number in group]
            found = self._separate_group([mixtures[place] for place in places])
            estimates.update(zip(places, found, strict=True))
        for place in set(range(len(mixtures))) - set(whole):
            estimates[place] = self._separate_long(mixtures[place])
        return [estimates[place] for place in range(len(mixtures))]

    def count_bytes(self, n_samples: int) -> int | None:
        """Of memory, about, that one mixture takes at a time; None: nobody knows."""
        if self.joined is None:
            return None
        return self.joined.count_bytes(min(n_samples, self.longest_whole))

    @property
    def longest_whole(self) -> int:
        """Samples beyond which a mixture goes through in chunks, for memory's sake."""
        return round(chunks.LONGEST_WHOLE_S * self.sample_rate)

    def _separate_long(self, mixture: torch.Tensor) -> torch.Tensor:
        def separate(piece: np.ndarray) -> np.ndarray:
            (estimates,) = self._separate_group([torch.from_numpy(piece).to(mixture.device)])
            return estimates.float().cpu().numpy()

        n_chunk = round(chunks.CHUNK_S * self.sample_rate)
        n_overlap = round(chunks.OVERLAP_S * self.sample_rate)
        logger.info("a mixture of %.0f s is separated in chunks", len(mixture) / self.sample_rate)
        samples = mixture.float().cpu().numpy()
        joined = chunks.separate_in_chunks(separate, samples, n_chunk, n_overlap)
        return torch.from_numpy(joined).to(mixture.device)

    def _group(self, lengths: Sequence[int]) -> list[list[int]]:
        if not self.is_on_gpu:
            return [[place] for place in range(len(lengths))]
        return group_lengths(lengths, JOINED_SAMPLES, unlike=self.joined is not None)

    def _separate_group(self, mixtures: list[torch.Tensor]) -> list[torch.Tensor]:
        try:
            return self._run(mixtures)
        except RuntimeError as error:
            if len(mixtures) == 1 or not is_out_of_memory(error):
                raise
        middle = len(mixtures) // 2  # no longer within the error, which holds the memory
        halves = mixtures[:middle], mixtures[middle:]
        return [found for half in halves for found in self._separate_group(half)]

    def _run(self, mixtures: list[torch.Tensor]) -> list[torch.Tensor]:
        lengths = [len(mixture) for mixture in mixtures]
        model: Any = self.model
        if self.joined is None or min(lengths) < model.encoder.filterbank.kernel_size:
            return list(self.plain(torch.stack(mixtures)).float())
        batch = nn.utils.rnn.pad_sequence(mixtures, batch_first=True)
        estimates = self.joined(batch, lengths)
        return [found[:, :length] for found, length in zip(estimates, lengths, strict=True)]


def separate_samples(model: nn.Module, samples: np.ndarray, device: torch.device) -> np.ndarray:
    """Run a model over one mixture ``(time,)``; returns float32 ``(n_src, time)``."""
    with torch.inference_mode(), multiply_exactly():
        mixture = torch.from_numpy(np.asarray(samples, np.float32)).to(device)
        return Separator(model, device).separate([mixture])[0].cpu().numpy()


def group_lengths(
    lengths: Sequence[int], max_samples: int, *, unlike: bool = True
) -> list[list[int]]:
    """Places of signals that go through a model together, neighbours in length.

    Args:
        lengths: of the signals, in samples.
        max_samples: of a group, padded to its longest; a longer signal is a group of its own.
        unlike: whether a group may hold unlike lengths.

    >>> group_lengths([5, 9, 5, 8], 18)
    [[1, 3], [0, 2]]
    >>> group_lengths([5, 9, 5, 8], 18, unlike=False)
    [[1], [3], [0, 2]]
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = lengths[groups[-1][0]] if groups else 0
        fits = bool(groups) and len(groups[-1]) < JOINED_ITEMS
        fits = fits and (len(groups[-1]) + 1) * longest <= max_samples
        if fits and (unlike or lengths[place] == longest):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


PEAK_MAX = 0.99
ALIKE = 0.8  # correlation of two estimates from which on none may be turned against the mixture


def fit_length(estimates: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or zero-pad ``(n_src, time)`` to ``n_samples``."""
    shortage = max(0, n_samples - estimates.shape[-1])
    return np.pad(estimates, ((0, 0), (0, shortage)))[:, :n_samples]


def match_level(mixture: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Give scale-free estimates the level they have in the mixture.

    Args:
        mixture: ``(time,)``.
        estimates: ``(n_src, time)``.

    Returns:
        float32 ``(n_src, time)``, turned down together where they would clip.
    """
    estimates = estimates.astype(np.float64)
    mixture = mixture.astype(np.float64)
    factors = find_factors(estimates @ estimates.T, estimates @ mixture, mixture @ mixture)
    scaled = estimates * factors[:, None]
    return (scaled * avoid_clipping(float(np.abs(scaled).max()))).astype(np.float32)


def find_factors(gram: np.ndarray, products: np.ndarray, energy: float) -> np.ndarray:
    """Factors that make scale-free estimates' sum fit the mixture best in least squares.

    SI-SDR training leaves an estimate's scale and sign open. Of two that are much alike least
    squares may take a large one less a large other: where that would turn one against the mixture,
    each is projected on the mixture by itself, and all are scaled together. None gets more energy
    than the mixture has.

    Args:
        gram: ``(n_src, n_src)``, inner products of the estimates.
        products: ``(n_src,)``, of the estimates with the mixture.
        energy: of the mixture, its inner product with itself.

    Returns:
        float64 ``(n_src,)``.
    """
    sizes = np.sqrt(np.maximum(np.diag(gram), np.finfo(np.float64).tiny))
    largest = np.sqrt(energy) / sizes
    factors = np.linalg.lstsq(gram, products, rcond=None)[0]
    correlations = np.triu(gram / np.outer(sizes, sizes), 1)
    is_alike = np.abs(correlations).max(initial=0) >= ALIKE
    if is_alike and (factors * products < 0).any():
        factors = products / sizes**2
        fit = factors @ gram @ factors
        factors = factors * (factors @ products / fit) if fit > 0 else factors
    return np.clip(factors, -largest, largest)


def avoid_clipping(peak: float, name: str = "outputs") -> float:
    """The factor that turns outputs down where their largest magnitude would clip, else 1."""
    if peak <= PEAK_MAX:
        return 1.0
    logger.warning(
        "%s: turned down by %.1f dB to avoid clipping", name, 20 * np.log10(peak / PEAK_MAX)
    )
    return PEAK_MAX / peak
