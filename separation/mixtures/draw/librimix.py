"""Drawing mixtures under LibriMix's rules, so that anyone with the same files gets the same list.

The rules of ``create_librimix_metadata.py`` (LibriMix, b898ca3): utterances of a least length;
random teams of different speakers; in training every utterance at most once, in dev and test
new rounds until there are enough, no team twice; loudness uniform; a source that would peak at 1
is brought to 0.9, a mixture above 0.9 too; noises longer than the longest source first.

Differences, all of which make the list reproducible: utterances are sorted and shuffled by
generators of (seed, split, round); loudness is that of the utterance in the corpus table and not
of its zero-padded copy (padding falls under the meter's gate); gains have eight decimals.
"""

from collections import defaultdict
from functools import partial

import numpy as np

from separation.audio.loudness import measure_loudness_lufs
from separation.audio.resample import count_resampled, resample
from separation.config.schema import MixturesConf
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.jobs import run_jobs
from separation.mixtures.draw.librimix_sources import Source, cut_piece, describe_sources
from separation.mixtures.draw.librimix_teams import draw_balanced_teams, draw_teams
from separation.mixtures.draw.teams import draw_level_db, format_row, make_generator
from separation.mixtures.render_librimix import read_noise
from separation.mixtures.source_files import Corpora

FULL_SCALE = 1.0


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
) -> list[dict[str, str]]:
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
        rows ``mixture_ID, source_i_path, source_i_gain, ...`` in LibriMix's columns.

    Raises:
        UserError: too few speakers or utterances.
    """
    rows = _choose_utterances(utterances, split, conf)
    balanced = conf.balance_sexes and split != "train"
    deal = draw_balanced_teams if balanced else draw_teams
    teams = make_sources(deal(rows, split, n_mixtures, conf), utterances, split, conf)
    chosen = assign_noises(teams, [r for r in noises if r.split == split], split, conf.seed)
    jobs = [
        (index, team, noise) for index, (team, noise) in enumerate(zip(teams, chosen, strict=True))
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
    teams: list[list[Utterance]], utterances: list[Utterance], split: str, conf: MixturesConf
) -> list[list[Source]]:
    """Whole utterances, or in training pieces of ``train_length_s``."""
    if split != "train" or conf.train_length_s == 0:
        return [[Source((row,)) for row in team] for team in teams]
    own: dict[str, list[Utterance]] = defaultdict(list)
    for row in sorted(utterances, key=lambda row: row.utterance):
        if row.split == split:
            own[row.speaker].append(row)
    made = []
    for index, team in enumerate(teams):
        generator = make_generator(conf.seed, f"{split}/pieces", index)
        made.append(
            [cut_piece(row, own[row.speaker], conf.train_length_s, generator) for row in team]
        )
    return made


def assign_noises(
    teams: list[list[Source]], noises: list[Utterance], split: str, seed: int
) -> list[Utterance | None]:
    """A noise for every team, each used equally often; where possible no shorter than its sources.

    Raises:
        UserError: the split has sources but no noise at all, though noises were given.
    """
    ordered = sorted(noises, key=lambda row: row.utterance)
    if not ordered:
        return [None] * len(teams)
    waiting: list[Utterance] = []
    chosen: list[Utterance | None] = []
    turn = 0
    for team in teams:
        if not waiting:
            order = make_generator(seed, f"{split}/noise", turn).permutation(len(ordered))
            waiting, turn = [ordered[index] for index in order], turn + 1
        longest = max(row.duration_s for row in team)
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
) -> dict[str, str]:
    """Gains of one team, and its row."""
    index, team, noise = job
    generator = make_generator(conf.seed, split, index)
    differences: list[float] = []
    if split == "train" and conf.train_level_by == "difference":
        gains, differences = _draw_differences(team, generator, conf, corpora, sample_rate)
    else:
        gains = [
            _limit(10 ** (draw_level_db(generator, s.loudness_lufs, conf) / 20), s.peak, conf)
            for s in team
        ]
    noise_samples, noise_gain = None, 0.0
    if noise is not None:
        target = generator.uniform(conf.noise_loudness_min_lufs, conf.noise_loudness_max_lufs)
        noise_samples = _read_noise(noise, team, corpora)
        loudness = round(measure_loudness_lufs(noise_samples, noise.sample_rate), 2)
        peak = float(np.abs(noise_samples).max())
        noise_gain = _limit(10 ** ((target - loudness) / 20), peak, conf)
    weight = _weigh(team, gains, noise_samples, noise_gain, conf, corpora)
    name = "_".join(row.first.path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for row in team)
    gains = [gain * weight for gain in gains]
    row = format_row(f"{index:05d}-{name}", [source.first for source in team], gains)
    if noise is not None:
        row |= {"noise_path": noise.path, "noise_gain": f"{noise_gain * weight:.8f}"}
    row |= describe_sources(team, gains, with_transcripts=with_transcripts)
    for number, difference in enumerate(differences, 2):
        row[f"level_difference_{number}_db"] = f"{difference:.4f}"
    return row


def _limit(gain: float, peak: float, conf: MixturesConf) -> float:
    return gain if gain * peak < FULL_SCALE else conf.peak_max / peak


def _draw_differences(
    team: list[Source],
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
    for source in team:
        clip = source.open(corpora)
        samples.append(resample(clip.read(clip.n_samples, 1.0), clip.sample_rate, sample_rate))
    shortest = min(map(len, samples))
    powers = [float(np.mean(np.square(part[:shortest], dtype=np.float64))) for part in samples]
    if min(powers) == 0:
        silent = team[powers.index(0.0)]
        raise UserError(f"{silent.path}: a piece of it is silent; remove the recording.")
    first = 10 ** (draw_level_db(generator, team[0].loudness_lufs, conf) / 20)
    low, high = conf.train_level_difference_min_db, conf.train_level_difference_max_db
    differences = [float(generator.uniform(low, high)) for _ in team[1:]]
    gains = [first] + [
        first * (powers[0] / power) ** 0.5 * 10 ** (-difference / 20)
        for power, difference in zip(powers[1:], differences, strict=True)
    ]
    peak = max(gain * source.peak for gain, source in zip(gains, team, strict=True))
    weight = 1.0 if peak < FULL_SCALE else conf.peak_max / peak
    return [gain * weight for gain in gains], differences


def _read_noise(noise: Utterance, team: list[Source], corpora: Corpora) -> np.ndarray:
    """The noise as the renderer will use it, as long as the longest source."""
    longest = max(
        count_resampled(source.length, source.first.sample_rate, noise.sample_rate)
        for source in team
    )
    return read_noise(corpora.open_noise(noise.path), longest, longest, {"noise_path": noise.path})


def _weigh(
    team: list[Source],
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
    bound = sum(gain * source.peak for gain, source in zip(gains, team, strict=True))
    if noise is not None:
        bound += noise_gain * float(np.abs(noise).max())
    if bound <= conf.peak_max:
        return 1.0
    clips = [source.open(corpora) for source in team]
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
