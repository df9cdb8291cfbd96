"""Drawing mixtures: corpus table + rules + seed -> mixture table in LibriMix's columns."""

import itertools
import zlib
from collections import defaultdict

import numpy as np

from separation.config.schema import MixturesConf
from separation.corpora.table import Utterance
from separation.errors import UserError

GAIN_DECIMALS = 8


def make_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """The generator of one item: nothing but (seed, split, index) decides what it draws."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])


def draw_level_db(
    generator: np.random.Generator, loudness_lufs: float, conf: MixturesConf
) -> float:
    """Gain in dB that brings an utterance to a loudness drawn as LibriMix draws it."""
    target = generator.uniform(conf.loudness_min_lufs, conf.loudness_max_lufs)
    return float(target - loudness_lufs)


def draw_mixtures(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[dict[str, str]]:
    """Draw one split's fixed mixtures.

    Every set of ``n_src`` speakers comes equally often (``n_mixtures`` is rounded up),
    each speaker's utterances equally often as far as they go. A source's
    target loudness is uniform; sources peaking above ``peak_max`` after their gain, and
    then mixtures whose summed source peaks exceed it, are scaled down, the weight entering the
    gains (a bound on the mixture's peak that needs no audio, so a table is made from tables).

    Returns:
        rows ``mixture_ID, source_i_path, source_i_gain, speaker_i_ID, speaker_i_sex,
        source_i_channel``; gains are decimals of fixed length.

    Raises:
        UserError: a split with too few speakers or without long enough utterances.
    """
    voices = _group_voices(utterances, split, conf)
    teams = list(itertools.combinations(sorted(voices), conf.n_src))
    repeats = -(-n_mixtures // len(teams))
    used: dict[str, int] = defaultdict(int)
    rows = []
    for index, team in enumerate(team for _ in range(repeats) for team in teams):
        generator = make_generator(conf.seed, split, index)
        order = generator.permutation(len(team))
        sources = [_next_utterance(voices, team[i], used, conf.seed) for i in order]
        gains = _draw_gains(generator, sources, conf)
        rows.append(format_row(f"{split}-{index:05d}", sources, gains))
    return rows


def _group_voices(
    utterances: list[Utterance], split: str, conf: MixturesConf
) -> dict[str, list[Utterance]]:
    voices: dict[str, list[Utterance]] = defaultdict(list)
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


def _next_utterance(
    voices: dict[str, list[Utterance]], speaker: str, used: dict[str, int], seed: int
) -> Utterance:
    """The speaker's next utterance of an order shuffled anew each time round."""
    own = voices[speaker]
    turn, place = divmod(used[speaker], len(own))
    used[speaker] += 1
    order = make_generator(seed, f"order/{speaker}", turn).permutation(len(own))
    return own[order[place]]


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


def format_row(mixture_id: str, sources: list[Utterance], gains: list[float]) -> dict[str, str]:
    """A row of a mixture table, gains as decimals of fixed length."""
    row = {"mixture_ID": mixture_id}
    for number, (source, gain) in enumerate(zip(sources, gains, strict=True), 1):
        row[f"source_{number}_path"] = source.path
        row[f"source_{number}_gain"] = f"{gain:.{GAIN_DECIMALS}f}"
    for number, source in enumerate(sources, 1):
        row[f"speaker_{number}_ID"] = source.speaker
        row[f"speaker_{number}_sex"] = source.sex
        row[f"source_{number}_channel"] = source.channel
    return row


def tell_pair(row: dict[str, str]) -> str:
    """``same-sex``, ``different-sex`` or ``unknown`` for a row of a mixture table."""
    stated = [row[key] for key in row if key.startswith("speaker_") and key.endswith("_sex")]
    sexes = [text.strip()[:1].upper() for text in stated]  # F, f and female are one sex
    if not sexes or "" in sexes:
        return "unknown"
    return "same-sex" if len(set(sexes)) == 1 else "different-sex"
