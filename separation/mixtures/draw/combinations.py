"""Drawing mixtures of every combination of speakers (``metadata.rules: teams``).

Corpus table + rules + seed -> mixture table in LibriMix's columns.
"""

import itertools
import math
from collections import defaultdict

import numpy as np

from separation.config.schema import MixturesConf
from separation.corpora.pauses import UtterancePiece
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.mixtures.rng import make_generator
from separation.mixtures.table import MixtureRow, SourceRef, make_row

Voices = dict[str, list[Utterance]]  # by speaker


def draw_level_db(
    generator: np.random.Generator, loudness_lufs: float, conf: MixturesConf
) -> float:
    """Gain in dB that brings an utterance to a loudness drawn as LibriMix draws it."""
    target = generator.uniform(conf.loudness_min_lufs, conf.loudness_max_lufs)
    return float(target - loudness_lufs)


def draw_combinations(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[MixtureRow]:
    """Draw one split's fixed mixtures.

    Every set of ``n_src`` speakers comes equally often (``n_mixtures`` is rounded up),
    each speaker's utterances equally often as far as they go; speakers with fewer different sets of
    utterances than that have each of these once, so there are fewer mixtures. A source's
    target loudness is uniform; sources peaking above ``peak_max`` after their gain, and
    then mixtures whose summed source peaks exceed it, are scaled down, the weight entering the
    gains (a bound on the mixture's peak that needs no audio, so a table is made from tables).

    Returns:
        rows ``mixture_ID, source_k_path, source_k_gain, speaker_k_ID, speaker_k_sex,
        source_k_channel``; gains are decimals of fixed length.

    Raises:
        UserError: a split with too few speakers or without long enough utterances.
    """
    voices = _group_voices(utterances, split, conf)
    groups = list(itertools.combinations(sorted(voices), conf.n_src))
    repeats = -(-n_mixtures // len(groups))
    chosen = _choose_utterances(voices, groups * repeats, split, conf.seed)
    rows = []
    for index, sources in _drop_repeats(voices, chosen, repeats).items():
        generator = make_generator(conf.seed, split, index)
        order = generator.permutation(conf.n_src)
        ordered = [sources[i] for i in order]
        gains = _draw_gains(generator, ordered, conf)
        refs = [refer_to(row, gain) for row, gain in zip(ordered, gains, strict=True)]
        rows.append(make_row(f"{split}-{index:05d}", refs))
    return rows


def _choose_utterances(
    voices: Voices, groups: list[tuple[str, ...]], split: str, seed: int
) -> list[tuple[Utterance, ...]]:
    """Each group's next utterances, in the order of its speakers."""
    used: dict[str, int] = defaultdict(int)
    chosen = []
    for index, group in enumerate(groups):
        order = make_generator(seed, split, index).permutation(len(group))
        taken = {group[i]: _next_utterance(voices, group[i], used, seed) for i in order}
        chosen.append(tuple(taken[speaker] for speaker in group))
    return chosen


def _drop_repeats(
    voices: Voices, chosen: list[tuple[Utterance, ...]], n_each: int
) -> dict[int, tuple[Utterance, ...]]:
    """By number; of speakers that have fewer than ``n_each`` different sets, each set once."""
    kept = dict(enumerate(chosen))
    numbers: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, sources in kept.items():
        numbers[tuple(row.speaker for row in sources)].append(index)
    for speakers, own in numbers.items():
        every = [voices[name] for name in speakers]
        if math.prod(map(len, every)) >= n_each:
            continue  # whatever comes twice by chance stays: lists are known by their fingerprints
        drawn = dict.fromkeys(kept.pop(index) for index in own)
        different = dict.fromkeys([*drawn, *itertools.product(*every)])
        kept |= dict(zip(own, different, strict=False))
    return dict(sorted(kept.items()))


def _group_voices(utterances: list[Utterance], split: str, conf: MixturesConf) -> Voices:
    voices: Voices = defaultdict(list)
    for row in utterances:
        if row.split == split and row.duration_s >= conf.min_utterance_s:
            voices[row.speaker].append(row)
    if len(voices) < conf.n_src:
        raise UserError(
            f"{split} has {len(voices)} speaker(s) with utterances of at least "
            f"{conf.min_utterance_s} s where mixtures.n_src={conf.n_src} need as many: add "
            "speakers or longer recordings, or lower mixtures.min_utterance_s."
        )
    return voices


def _next_utterance(voices: Voices, speaker: str, used: dict[str, int], seed: int) -> Utterance:
    """The speaker's next utterance of an order shuffled anew each time round."""
    utterances = voices[speaker]
    turn, place = divmod(used[speaker], len(utterances))
    used[speaker] += 1
    order = make_generator(seed, f"order/{speaker}", turn).permutation(len(utterances))
    return utterances[order[place]]


def _draw_gains(
    generator: np.random.Generator, sources: list[Utterance], conf: MixturesConf
) -> list[float]:
    gains = []
    for source in sources:
        gain = 10 ** (draw_level_db(generator, source.loudness_lufs, conf) / 20)
        gains.append(min(gain, conf.peak_max / source.peak))
    peak = sum(gain * source.peak for gain, source in zip(gains, sources, strict=True))
    weight = min(1.0, conf.peak_max / peak)
    return [gain * weight for gain in gains]


def refer_to(utterance: Utterance, gain: float) -> SourceRef:
    """An utterance, whole or the piece that it is, as a mixture's source."""
    piece = utterance if isinstance(utterance, UtterancePiece) else None
    return SourceRef(
        paths=(utterance.path,),
        channel=utterance.channel,
        start=piece.start if piece else None,
        n_samples=piece.n_samples if piece else None,
        gain=gain,
        speaker=utterance.speaker,
        sex=utterance.sex,
    )
