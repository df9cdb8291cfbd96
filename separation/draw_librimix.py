"""Drawing mixtures under LibriMix's rules, so that anyone with the same files gets the same list.

The rules of ``create_librimix_metadata.py`` (LibriMix, b898ca3): utterances of a least length;
random teams of different speakers; in training every utterance at most once, in dev and test
new rounds until there are enough, no team twice; loudness uniform; a source that would peak at 1
is brought to 0.9, a mixture above 0.9 too; noises longer than the longest source first.

Differences, all of which make the list reproducible: utterances are sorted and shuffled by
generators of (seed, split, round); loudness is that of the utterance in the corpus table and not
of its zero-padded copy (padding falls under the meter's gate); gains have eight decimals.
"""

from collections import deque
from functools import partial

import numpy as np

from separation.clips import Corpora
from separation.config import MixturesConf
from separation.corpus import Utterance
from separation.draw import draw_level_db, format_row, make_generator
from separation.errors import UserError
from separation.jobs import run_jobs
from separation.loudness import measure_loudness_lufs
from separation.render import read_noise

FULL_SCALE = 1.0
MAX_ROUNDS = 1000


def draw_librimix(
    utterances: list[Utterance],
    noises: list[Utterance],
    split: str,
    n_mixtures: int,
    conf: MixturesConf,
    corpora: Corpora,
    n_jobs: int,
) -> list[dict[str, str]]:
    """Draw one split's mixtures under LibriMix's rules.

    Args:
        utterances: the corpus table.
        noises: the noise corpus's table; empty: clean mixtures.
        split: of the utterances and the noises.
        n_mixtures: 0: each utterance at most once, as in LibriMix's training sets.
        corpora: roots, for the peaks of mixtures that may be too loud.
        n_jobs: processes.

    Returns:
        rows ``mixture_ID, source_i_path, source_i_gain, ...`` in LibriMix's columns.

    Raises:
        UserError: too few speakers or utterances.
    """
    rows = [r for r in utterances if r.split == split and r.duration_s >= conf.min_utterance_s]
    teams = draw_teams(rows, split, n_mixtures, conf)
    chosen = assign_noises(teams, [r for r in noises if r.split == split], split, conf.seed)
    jobs = [
        (index, team, noise) for index, (team, noise) in enumerate(zip(teams, chosen, strict=True))
    ]
    work = partial(_draw_row, split=split, conf=conf, corpora=corpora)
    label = f"draw {split}"
    results = run_jobs(work, jobs, n_jobs, total=len(jobs), label=label, unit="mixture", chunk=8)
    return list(results)


def draw_teams(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Teams of ``n_src`` utterances of different speakers.

    Raises:
        UserError: fewer speakers than ``n_src``, or fewer different teams than asked for.
    """
    ordered = sorted(utterances, key=lambda row: row.utterance)
    speakers = {row.speaker for row in ordered}
    if len(speakers) < conf.n_src:
        raise UserError(
            f"{split} has {len(speakers)} speaker(s) with utterances of at least "
            f"{conf.min_utterance_s} s where mixtures.n_src={conf.n_src} need as many: add "
            "speakers or longer recordings, or lower mixtures.min_utterance_s."
        )
    if n_mixtures == 0:
        return _draw_round(ordered, split, 0, conf)
    teams: dict[frozenset[str], list[Utterance]] = {}
    for number in range(MAX_ROUNDS):
        for team in _draw_round(ordered, split, number, conf):
            teams.setdefault(frozenset(row.utterance for row in team), team)
        if len(teams) >= n_mixtures:
            return list(teams.values())[:n_mixtures]
    raise UserError(
        f"{split} gives only {len(teams)} different mixtures where {n_mixtures} are asked for: "
        f"lower mixtures.n_{'train' if split == 'train' else split[:4].rstrip('_')}, or add "
        "recordings."
    )


def _draw_round(
    ordered: list[Utterance], split: str, number: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Each utterance at most once: the next of a shuffled row joins the oldest team it fits."""
    shuffled = make_generator(conf.seed, f"{split}/teams", number).permutation(len(ordered))
    open_teams: deque[list[Utterance]] = deque()
    finished = []
    for index in shuffled:
        utterance = ordered[index]
        team = next(
            (t for t in open_teams if all(row.speaker != utterance.speaker for row in t)), None
        )
        if team is None:
            open_teams.append([utterance])
            continue
        team.append(utterance)
        if len(team) == conf.n_src:
            open_teams.remove(team)
            finished.append(team)
    return finished


def assign_noises(
    teams: list[list[Utterance]], noises: list[Utterance], split: str, seed: int
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
    job: tuple[int, list[Utterance], Utterance | None],
    split: str,
    conf: MixturesConf,
    corpora: Corpora,
) -> dict[str, str]:
    """Gains of one team, and its row."""
    index, team, noise = job
    generator = make_generator(conf.seed, split, index)
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
    name = "_".join(row.path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for row in team)
    row = format_row(f"{index:05d}-{name}", team, [gain * weight for gain in gains])
    if noise is not None:
        row |= {"noise_path": noise.path, "noise_gain": f"{noise_gain * weight:.8f}"}
    return row


def _limit(gain: float, peak: float, conf: MixturesConf) -> float:
    return gain if gain * peak < FULL_SCALE else conf.peak_max / peak


def _read_noise(noise: Utterance, team: list[Utterance], corpora: Corpora) -> np.ndarray:
    """The noise as the renderer will use it, as long as the longest source."""
    longest = max(row.n_samples for row in team)
    return read_noise(corpora.open_noise(noise.path), longest, longest, {"noise_path": noise.path})


def _weigh(
    team: list[Utterance],
    gains: list[float],
    noise: np.ndarray | None,
    noise_gain: float,
    conf: MixturesConf,
    corpora: Corpora,
) -> float:
    """What brings the max-mode mixture's peak down to ``peak_max``; four decimals of the peak.

    Where the sum of the sources' peaks stays below, no audio needs to be read.
    """
    bound = sum(gain * row.peak for gain, row in zip(gains, team, strict=True))
    if noise is not None:
        bound += noise_gain * float(np.abs(noise).max())
    if bound <= conf.peak_max:
        return 1.0
    if len({row.sample_rate for row in team}) > 1:
        return conf.peak_max / bound
    parts = [
        corpora.open_source(row.path, row.channel).read(row.n_samples, gain)
        for row, gain in zip(team, gains, strict=True)
    ]
    if noise is not None:
        parts.append(noise.astype(np.float32) * np.float32(noise_gain))
    mixture = np.zeros(max(map(len, parts)), np.float32)
    for part in parts:
        mixture[: len(part)] += part
    return min(1.0, conf.peak_max / max(round(float(np.abs(mixture).max()), 4), 1e-4))
