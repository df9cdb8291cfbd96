"""What a mixture takes of each speaker: a whole utterance, or a piece of a given length."""

import math
from dataclasses import dataclass

import numpy as np

from separation.audio.clips import Clip, JoinedClip
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.mixtures.source_files import Corpora

JOINT = "|"  # between the paths of a source that several utterances make up


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
        clips = [corpora.open_source(row.path, row.channel) for row in self.utterances]
        return clips[0] if self.whole else JoinedClip(clips, self.start, self.n_samples)


def cut_piece(
    utterance: Utterance,
    own: list[Utterance],
    duration_s: float,
    generator: np.random.Generator,
) -> Source:
    """A piece of ``duration_s``: out of a longer utterance at random, else with more speech after.

    Args:
        own: all utterances of the speaker, sorted by name, to complete a short one with.

    Raises:
        UserError: a name that cannot be joined with others.
    """
    wanted = round(duration_s * utterance.sample_rate)
    if utterance.n_samples >= wanted:
        start = int(generator.integers(utterance.n_samples - wanted + 1))
        return Source((utterance,), start, wanted)
    fitting = [row for row in own if row.sample_rate == utterance.sample_rate]
    chosen = [utterance]
    while sum(row.n_samples for row in chosen) < wanted:
        chosen.append(fitting[int(generator.integers(len(fitting)))])
    odd = [row.path for row in chosen if JOINT in row.path]
    if odd:
        raise UserError(f"{odd[0]}: rename it without '{JOINT}', which joins paths in our tables.")
    return Source(tuple(chosen), 0, wanted)


def describe_sources(
    team: list[Source], gains: list[float], *, with_transcripts: bool
) -> dict[str, str]:
    """Columns that say more of the sources than LibriMix's do.

    ``source_i_transcript`` (as in Aishell1Mix); of pieces ``source_i_start`` and
    ``source_i_n_samples`` at the recordings' own rate, with all their paths; of whole utterances
    ``source_i_loudness_lufs``, what they have after their gain.
    """
    columns = {}
    for number, (source, gain) in enumerate(zip(team, gains, strict=True), 1):
        name = f"source_{number}"
        columns[f"{name}_path"] = source.path
        if with_transcripts:
            columns[f"{name}_transcript"] = JOINT.join(row.transcript for row in source.utterances)
        if source.whole:
            loudness = source.loudness_lufs + 20 * math.log10(gain)
            columns[f"{name}_loudness_lufs"] = f"{loudness:.2f}"
        else:
            columns[f"{name}_start"] = str(source.start)
            columns[f"{name}_n_samples"] = str(source.n_samples)
    return columns
