"""Drawing mixtures under LibriMix's rules, so that anyone with the same files gets the same list.

The rules of ``create_librimix_metadata.py`` (LibriMix, b898ca3): utterances of a least length;
random groups of different speakers; in training every utterance at most once, in dev and test
new rounds until there are enough, no group twice; loudness uniform; a source that would peak at 1
is brought to 0.9, a mixture above 0.9 too; noises longer than the longest source first.

Differences, all of which make the list reproducible: utterances are sorted and shuffled by
generators of (seed, split, round); loudness is that of the utterance in the corpus table and not
of its zero-padded copy (padding falls under the meter's gate); gains have eight decimals.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np

from separation.audio.clips import Clip, JoinedClip
from separation.audio.loudness import measure_loudness_lufs
from separation.audio.resample import count_resampled, resample
from separation.config.schema import MixturesConf
from separation.corpora.pauses import UtterancePiece
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.jobs import run_jobs
from separation.mixtures.draw.combinations import draw_level_db
from separation.mixtures.draw.speaker_groups import draw_balanced_groups, draw_groups
from separation.mixtures.render_librimix import read_noise
from separation.mixtures.rng import make_generator
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import JOINT, MixtureRow, NoiseRef, SourceRef, make_row

FULL_SCALE = 1.0


@dataclass(frozen=True)
class Source:
    """Utterances of one speaker, one after the other, and the piece of them that is used.

    Attributes:
        utterances: of one speaker and sample rate; mostly one.
        start: first sample of the piece, at the recordings' own rate.
        n_samples: of the piece; 0: all.
    """

    utterances: tuple[Utterance, ...]
    start: int = 0
    n_samples: int = 0

    @property
    def first(self) -> Utterance:
        return self.utterances[0]

    @property
    def whole(self) -> bool:
        return self.n_samples == 0

    @property
    def length(self) -> int:
        """Samples at the recordings' own rate."""
        return self.n_samples or sum(row.n_samples for row in self.utterances)

    @property
    def duration_s(self) -> float:
        return self.length / self.first.sample_rate

    @property
    def peak(self) -> float:
        """Of the whole utterances: a bound of the piece's."""
        return max(row.peak for row in self.utterances)

    @property
    def loudness_lufs(self) -> float:
        """Of the whole utterances: their mean power, weighted by length."""
        if len(self.utterances) == 1:
            return self.first.loudness_lufs
        powers = [row.duration_s * 10 ** (row.loudness_lufs / 10) for row in self.utterances]
        return 10 * math.log10(sum(powers) / sum(row.duration_s for row in self.utterances))

    @property
    def path(self) -> str:
        return JOINT.join(row.path for row in self.utterances)

    def open(self, corpora: Corpora) -> Clip:
        """The samples, decoded when they are read."""
        clips = [corpora.open_recording(row.path, row.channel) for row in self.utterances]
        return clips[0] if self.whole else JoinedClip(clips, self.start, self.n_samples)

    def refer(self, gain: float, *, with_transcript: bool) -> SourceRef:
        """What a mixture table says of it; loudness is that of whole utterances after the gain."""
        transcript = JOINT.join(row.transcript for row in self.utterances)
        return SourceRef(
            paths=tuple(row.path for row in self.utterances),
            channel=self.first.channel,
            start=None if self.whole else self.start,
            n_samples=None if self.whole else self.n_samples,
            gain=gain,
            loudness_lufs=self.loudness_lufs + 20 * math.log10(gain) if self.whole else None,
            speaker=self.first.speaker,
            sex=self.first.sex,
            transcript=transcript if with_transcript else None,
        )


def draw_librimix(
    utterances: list[Utterance],
    noises: list[Utterance],
    split: str,
    n_mixtures: int,
    conf: MixturesConf,
    corpora: Corpora,
    n_jobs: int,
    *,
    sample_rate: int,
) -> list[MixtureRow]:
    """Draw one split's mixtures under LibriMix's rules.

    Args:
        utterances: the corpus table.
        noises: the noise corpus's table; empty: clean mixtures.
        split: of the utterances and the noises.
        n_mixtures: 0: each utterance at most once, as in LibriMix's training sets.
        corpora: roots, for the peaks of mixtures that may be too loud.
        n_jobs: processes.
        sample_rate: Hz at which level differences are measured, where they are asked for.

    Returns:
        rows ``mixture_ID, source_k_path, source_k_gain, ...`` in LibriMix's columns.

    Raises:
        UserError: too few speakers or utterances.
    """
    rows = _choose_utterances(utterances, split, conf)
    balanced = conf.balance_sexes and split != "train"
    draw = draw_balanced_groups if balanced else draw_groups
    groups = make_sources(draw(rows, split, n_mixtures, conf), utterances, split, conf)
    chosen = assign_noises(groups, [r for r in noises if r.split == split], split, conf.seed)
    jobs = [
        (index, group, noise)
        for index, (group, noise) in enumerate(zip(groups, chosen, strict=True))
    ]
    work = partial(
        _draw_row,
        split=split,
        conf=conf,
        corpora=corpora,
        sample_rate=sample_rate,
        with_transcripts=any(row.transcript for row in utterances),
    )
    label = f"draw {split}"
    results = run_jobs(work, jobs, n_jobs, total=len(jobs), label=label, unit="mixture", chunk=8)
    return list(results)


def _choose_utterances(
    utterances: list[Utterance], split: str, conf: MixturesConf
) -> list[Utterance]:
    """Those of the split that are long enough to be mixed."""
    pieces = split == "train" and conf.train_length_s > 0  # short utterances are completed
    least_s = 0.0 if pieces else conf.min_utterance_s
    rows = [row for row in utterances if row.split == split and row.duration_s >= least_s]
    speakers = {row.speaker for row in rows}
    if len(speakers) < conf.n_src:
        raise UserError(
            f"{split} has {len(speakers)} speaker(s) with utterances of at least "
            f"{conf.min_utterance_s} s where mixtures.n_src={conf.n_src} need as many: add "
            "speakers or longer recordings, or lower mixtures.min_utterance_s."
        )
    return rows


def make_sources(
    groups: list[list[Utterance]], utterances: list[Utterance], split: str, conf: MixturesConf
) -> list[list[Source]]:
    """Whole utterances, or in training pieces of ``train_length_s``."""
    if split != "train" or conf.train_length_s == 0:
        return [[make_source(row) for row in group] for group in groups]
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for row in sorted(utterances, key=lambda row: row.utterance):
        if row.split == split:
            by_speaker[row.speaker].append(row)
    made = []
    for index, group in enumerate(groups):
        generator = make_generator(conf.seed, f"{split}/pieces", index)
        made.append(
            [
                cut_piece(row, by_speaker[row.speaker], conf.train_length_s, generator)
                for row in group
            ]
        )
    return made


def make_source(utterance: Utterance) -> Source:
    """An utterance, whole or the piece that it is."""
    if isinstance(utterance, UtterancePiece):
        return Source((utterance,), utterance.start, utterance.n_samples)
    return Source((utterance,))


def cut_piece(
    utterance: Utterance,
    candidates: list[Utterance],
    duration_s: float,
    generator: np.random.Generator,
) -> Source:
    """A piece of ``duration_s``: out of a longer utterance at random, else with more speech after.

    Args:
        candidates: all of the speaker's, sorted by name, to complete a short one with.

    Raises:
        UserError: a name that cannot be joined with others.
    """
    wanted = round(duration_s * utterance.sample_rate)
    if utterance.n_samples >= wanted:
        start = int(generator.integers(utterance.n_samples - wanted + 1))
        return Source((utterance,), start, wanted)
    fitting = [row for row in candidates if row.sample_rate == utterance.sample_rate]
    chosen = [utterance]
    while sum(row.n_samples for row in chosen) < wanted:
        chosen.append(fitting[int(generator.integers(len(fitting)))])
    odd = [row.path for row in chosen if JOINT in row.path]
    if odd:
        raise UserError(f"{odd[0]}: rename it without '{JOINT}', which joins paths in our tables.")
    return Source(tuple(chosen), 0, wanted)


def assign_noises(
    groups: list[list[Source]], noises: list[Utterance], split: str, seed: int
) -> list[Utterance | None]:
    """A noise for every group, each used equally often; where possible no shorter than its sources.

    Raises:
        UserError: the split has sources but no noise at all, though noises were given.
    """
    ordered = sorted(noises, key=lambda row: row.utterance)
    if not ordered:
        return [None] * len(groups)
    waiting: list[Utterance] = []
    chosen: list[Utterance | None] = []
    turn = 0
    for group in groups:
        if not waiting:
            order = make_generator(seed, f"{split}/noise", turn).permutation(len(ordered))
            waiting, turn = [ordered[index] for index in order], turn + 1
        longest = max(row.duration_s for row in group)
        place = next((i for i, row in enumerate(waiting) if row.duration_s >= longest), None)
        if place is None:
            place = max(range(len(waiting)), key=lambda i: waiting[i].duration_s)
        chosen.append(waiting.pop(place))
    return chosen


def _draw_row(
    job: tuple[int, list[Source], Utterance | None],
    split: str,
    conf: MixturesConf,
    corpora: Corpora,
    sample_rate: int,
    with_transcripts: bool,
) -> MixtureRow:
    """Gains of one group, and its row."""
    index, group, noise = job
    generator = make_generator(conf.seed, split, index)
    differences: list[float] = []
    if split == "train" and conf.train_level_by == "difference":
        gains, differences = _draw_differences(group, generator, conf, corpora, sample_rate)
    else:
        gains = [
            _limit(10 ** (draw_level_db(generator, s.loudness_lufs, conf) / 20), s.peak, conf)
            for s in group
        ]
    noise_samples, noise_gain = None, 0.0
    if noise is not None:
        target = generator.uniform(conf.noise_loudness_min_lufs, conf.noise_loudness_max_lufs)
        noise_samples = _read_noise(noise, group, corpora)
        loudness = round(measure_loudness_lufs(noise_samples, noise.sample_rate), 2)
        peak = float(np.abs(noise_samples).max())
        noise_gain = _limit(10 ** ((target - loudness) / 20), peak, conf)
    weight = _weigh(group, gains, noise_samples, noise_gain, conf, corpora)
    name = "_".join(row.first.path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for row in group)
    gains = [gain * weight for gain in gains]
    sources = [
        source.refer(gain, with_transcript=with_transcripts)
        for source, gain in zip(group, gains, strict=True)
    ]
    noise_ref = NoiseRef(noise.path, noise_gain * weight) if noise is not None else None
    return make_row(f"{index:05d}-{name}", sources, noise_ref, differences)


def _limit(gain: float, peak: float, conf: MixturesConf) -> float:
    return gain if gain * peak < FULL_SCALE else conf.peak_max / peak


def _draw_differences(
    group: list[Source],
    generator: np.random.Generator,
    conf: MixturesConf,
    corpora: Corpora,
    sample_rate: int,
) -> tuple[list[float], list[float]]:
    """Gains that give the first source its loudness and the others a difference of power to it.

    Power is that of the samples which the mixture will have: cut to the shortest source, at the
    mixture's rate. One weight for all, where a source would peak at 1, keeps the differences.
    """
    samples = []
    for source in group:
        clip = source.open(corpora)
        samples.append(resample(clip.read(clip.n_samples, 1.0), clip.sample_rate, sample_rate))
    shortest = min(map(len, samples))
    powers = [float(np.mean(np.square(part[:shortest], dtype=np.float64))) for part in samples]
    if min(powers) == 0:
        silent = group[powers.index(0.0)]
        raise UserError(f"{silent.path}: a piece of it is silent; remove the recording.")
    first = 10 ** (draw_level_db(generator, group[0].loudness_lufs, conf) / 20)
    low, high = conf.train_level_difference_min_db, conf.train_level_difference_max_db
    differences = [float(generator.uniform(low, high)) for _ in group[1:]]
    gains = [first] + [
        first * (powers[0] / power) ** 0.5 * 10 ** (-difference / 20)
        for power, difference in zip(powers[1:], differences, strict=True)
    ]
    peak = max(gain * source.peak for gain, source in zip(gains, group, strict=True))
    weight = 1.0 if peak < FULL_SCALE else conf.peak_max / peak
    return [gain * weight for gain in gains], differences


def _read_noise(noise: Utterance, group: list[Source], corpora: Corpora) -> np.ndarray:
    """The noise as the renderer will use it, as long as the longest source."""
    longest = max(
        count_resampled(source.length, source.first.sample_rate, noise.sample_rate)
        for source in group
    )
    return read_noise(corpora.open_noise(noise.path), longest, longest, noise.path)


def _weigh(
    group: list[Source],
    gains: list[float],
    noise: np.ndarray | None,
    noise_gain: float,
    conf: MixturesConf,
    corpora: Corpora,
) -> float:
    """What brings the max-mode mixture's peak down to ``peak_max``; four decimals of the peak.

    Where the sum of the sources' peaks stays below, no audio needs to be read; where rates
    differ that sum takes the mixture's place.
    """
    bound = sum(gain * source.peak for gain, source in zip(gains, group, strict=True))
    if noise is not None:
        bound += noise_gain * float(np.abs(noise).max())
    if bound <= conf.peak_max:
        return 1.0
    clips = [source.open(corpora) for source in group]
    lengths = {clip.n_samples for clip in clips}
    same_rate = len({clip.sample_rate for clip in clips}) == 1
    if not same_rate or (noise is not None and len(noise) != max(lengths)):
        return conf.peak_max / bound
    parts = [clip.read(clip.n_samples, gain) for clip, gain in zip(clips, gains, strict=True)]
    if noise is not None:
        parts.append(noise.astype(np.float32) * np.float32(noise_gain))
    mixture = np.zeros(max(map(len, parts)), np.float32)
    for part in parts:
        mixture[: len(part)] += part
    return min(1.0, conf.peak_max / max(round(float(np.abs(mixture).max()), 4), 1e-4))
