"""Training mixtures made on the fly: item number -> (mixture, sources)."""

import numpy as np
import torch
from torch.utils.data import Dataset

from separation.audio.resample import resample_fast
from separation.config.schema import MixturesConf
from separation.corpora.pack import PackedAudio
from separation.mixtures.dataset import MixtureDataset
from separation.mixtures.dynamic.equalizer import equalize
from separation.mixtures.dynamic.plans import MAX_REDRAWS, ItemPlan, MixturePlans, PartPlan
from separation.mixtures.rng import make_generator

SILENT_SHARE = 1e-6  # of all sources' power


class DynamicMixtures(Dataset):
    """Endless mixtures of packed utterances.

    Item ``i`` depends on ``(seed, i)`` alone, so the number of workers, an interruption
    and the order of files change nothing. Every item draws new speakers, utterances, offsets and
    levels, and a noise where there is a noise corpus; a segment longer than an utterance is
    completed with more of the same speaker. :class:`separation.mixtures.dynamic.device.DeviceMixer`
    mixes the same plans on an accelerator.

    Args:
        audio: packed utterances of the training speakers.
        n_samples: of an item.
        conf: number of speakers, loudness, peak.
        seed: of all items.
        noise: packed noises, added to the mixture but no source.
        speeds: slowest and fastest, in steps of a hundredth; each source is played at its own.
        speaker_weight: 0: all speakers are drawn alike often; 1: by the length of their speech.
        speaker_groups: expression on names; those in which it finds the same are mixed. "": all.
        equalize_db: most that each source's own random equalizer changes a band; 0: none.
    """

    def __init__(
        self,
        audio: PackedAudio,
        n_samples: int,
        conf: MixturesConf,
        seed: int,
        noise: PackedAudio | None = None,
        speeds: tuple[float, float] = (1.0, 1.0),
        *,
        speaker_weight: float = 0.0,
        speaker_groups: str = "",
        equalize_db: float = 0.0,
    ) -> None:
        self.audio = audio
        self.noise = noise
        self.n_samples = n_samples
        self.conf = conf
        self.plans = MixturePlans(
            audio,
            n_samples,
            conf,
            seed,
            noise,
            speeds,
            speaker_weight=speaker_weight,
            speaker_groups=speaker_groups,
            equalize_db=equalize_db,
        )
        self.n_epoch = audio.n_utterances // conf.n_src

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        mixture, parts = self.draw(index)
        return torch.from_numpy(mixture), torch.from_numpy(parts[: self.conf.n_src])

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Mixture ``(time,)`` and its parts, the noise last, ``(n_parts, time)``, float32."""
        return self.mix(self.plan(index))

    def plan(self, index: int) -> ItemPlan:
        """What item ``index`` is made of."""
        return self.plans.plan(index)

    def mix(self, plan: ItemPlan) -> tuple[np.ndarray, np.ndarray]:
        """Mixture ``(time,)`` and its parts, the noise last, ``(n_parts, time)``, float32."""
        n_src = len(plan.sources)
        parts = np.empty((n_src + (plan.noise is not None), self.n_samples), np.float32)
        for part, source in zip(parts, plan.sources, strict=False):
            _play(part, source, self.audio)
        if plan.sources[0].curve_db:
            self._equalize(parts[:n_src], plan)
        bound = sum(source.peak_bound for source in plan.sources)
        if plan.differences_db:
            bound = _set_differences(parts[:n_src], plan.differences_db)
        if plan.noise is not None:
            assert self.noise is not None
            _play(parts[-1], plan.noise, self.noise)
            bound += plan.noise.peak_bound
        mixture = parts[0] + parts[1]
        for part in parts[2:]:
            mixture += part
        if bound > self.conf.peak_max:  # else it cannot be too loud
            self._limit(mixture, parts)
        return mixture, parts

    def _equalize(self, sources: np.ndarray, plan: ItemPlan) -> None:
        curves = torch.tensor([source.curve_db for source in plan.sources])
        rate = self.audio.sample_rate
        sources[:] = equalize(torch.from_numpy(sources), curves, rate).numpy()

    def _limit(self, mixture: np.ndarray, parts: np.ndarray) -> None:
        peak = max(float(mixture.max()), -float(mixture.min()))
        if peak > self.conf.peak_max:
            weight = np.float32(self.conf.peak_max / peak)
            mixture *= weight
            parts *= weight


def _play(part: np.ndarray, plan: PartPlan, audio: PackedAudio) -> None:
    """Fill ``part`` with the plan's pieces at the plan's speed."""
    if plan.speed == 100:
        _join(part, plan, audio)
        return
    original = np.empty(-(-len(part) * plan.speed // 100), np.float32)
    _join(original, plan, audio)
    part[:] = resample_fast(original, plan.speed, 100)[: len(part)]


def _join(samples: np.ndarray, plan: PartPlan, audio: PackedAudio) -> None:
    filled = 0
    for speaker, utterance, start, n_samples, gain in plan.pieces:
        audio.read_into(samples[filled : filled + n_samples], speaker, utterance, start, gain)
        filled += n_samples


def _set_differences(sources: np.ndarray, differences_db: list[float]) -> float:
    """Scale all but the first source to a drawn difference of power; returns a peak bound."""
    first = float(np.dot(sources[0], sources[0]))
    for source, difference_db in zip(sources[1:], differences_db, strict=True):
        power = float(np.dot(source, source))
        if first > 0 and power > 0:  # a silent pause has no level
            source *= np.float32((first / power) ** 0.5 * 10 ** (-difference_db / 20))
    return float(np.abs(sources).max(axis=1).sum())


class ListedSegments(Dataset):
    """Segments of a fixed training list: every epoch each mixture once, in a new order.

    Item ``i`` is mixture ``order_e[i % n]`` of epoch ``e = i // n``; order and offset depend on
    ``(seed, i)`` alone; without ``random_crop`` the offset is 0. A mixture shorter than the
    segment is padded with zeros. A random crop in which a source is silent is drawn anew.
    """

    def __init__(
        self, mixtures: MixtureDataset, n_samples: int, seed: int, *, random_crop: bool = True
    ) -> None:
        self.mixtures = mixtures
        self.n_samples = n_samples
        self.random_crop = random_crop
        self.seed = seed
        self.n_epoch = len(mixtures)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        epoch, place = divmod(index, len(self.mixtures))
        if self._order[0] != epoch:
            generator = make_generator(self.seed, "order", epoch)
            self._order = (epoch, generator.permutation(len(self.mixtures)))
        mixture = self.mixtures[int(self._order[1][place])]
        signals = np.concatenate([mixture.mixture[None], mixture.sources])
        spare = signals.shape[1] - self.n_samples
        if spare < 0:
            signals = np.pad(signals, ((0, 0), (0, -spare)))
        generator = make_generator(self.seed, "offset", index)
        start = int(generator.integers(max(1, spare + 1))) if self.random_crop else 0
        for _ in range(MAX_REDRAWS if self.random_crop and spare > 0 else 0):
            if not has_silent_source(signals[1:, start : start + self.n_samples]):
                break
            start = int(generator.integers(spare + 1))
        segment = torch.from_numpy(signals[:, start : start + self.n_samples].copy())
        return segment[0], segment[1:]


def has_silent_source(sources: np.ndarray) -> bool:
    """Whether a source lies 60 dB below all of them together; ``(n_src, time)``.

    >>> has_silent_source(np.float32([[1, -1], [0, 0]]))
    True
    """
    powers = np.einsum("ij,ij->i", sources, sources)
    return bool(powers.min() <= SILENT_SHARE * powers.sum())


class FixedMixtures(Dataset):
    """Fixed mixtures as they are: whole, none dropped, always in the same order."""

    def __init__(self, mixtures: MixtureDataset) -> None:
        self.mixtures = mixtures

    def __len__(self) -> int:
        return len(self.mixtures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        mixture = self.mixtures[index]
        return torch.from_numpy(mixture.mixture), torch.from_numpy(mixture.sources)
