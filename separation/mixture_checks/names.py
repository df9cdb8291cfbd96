"""Who speaks in a mixture and of what utterances it is made: of its table, or of known names."""

import re
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.plugin import list_functions
from separation.mixtures.table import JOINT, MixtureRow, Origin, SourceRef


@dataclass(frozen=True, kw_only=True)
class Names:
    """What is known of a mixture's sources; empty tuples where it is not.

    Attributes:
        speakers, sexes: one a source.
        utterances: that the sources are made of, each once.
        sources: one a source: its utterances, and the segment that is used of them.
    """

    speakers: tuple[str, ...]
    sexes: tuple[str, ...]
    utterances: tuple[str, ...]
    sources: tuple[str, ...]


def name_parts(row: MixtureRow, root: Path) -> Names:
    """Names of speakers and utterances of one row.

    Speakers come from the row, else from the names of LibriSpeech's and WSJ0's
    utterances, where a table's paths or the mixture's ID have exactly that form.

    Args:
        row: of a table, or of audio that exists.
        root: that a table's paths are relative to; keeps apart equal names of two corpora.
    """
    ids = parse_utterances(row.mixture_id)
    groups: list[tuple[str, ...]] = [(name,) for name in ids] if len(ids) == row.n_src else []
    if row.origin != Origin.EXISTING:
        groups = [_name_utterances(source, root) for source in row.sources]
    sources = tuple(
        JOINT.join(group) + (f" from {source.start}" if source.start is not None else "")
        for group, source in zip(groups, row.sources, strict=False)
    )
    speakers = [_trim(source.speaker) for source in row.sources]
    if not all(speakers):
        speakers = [name_speaker(group[0]) for group in groups]
    sexes = tuple(source.sex for source in row.sources)
    utterances = tuple(dict.fromkeys(name for group in groups for name in group))
    return Names(
        speakers=tuple(speakers) if all(speakers) else (),
        sexes=sexes,
        utterances=utterances,
        sources=sources,
    )


def parse_utterances(mixture_id: str) -> tuple[str, ...]:
    """Utterances that a mixture of published lists is named after; none for other names.

    >>> parse_utterances("1089-134686-0000_121-127105-0031")
    ('1089-134686-0000', '121-127105-0031')
    >>> parse_utterances("01to030v_0.76421_20ga010m_-0.76421")
    ('01to030v', '20ga010m')
    """
    parsed = (parse(mixture_id) for parse in list_functions("parse_utterances"))
    return next((names for names in parsed if names), ())


def name_speaker(utterance: str) -> str:
    """The speaker of an utterance of a corpus whose names say it; empty for other names.

    >>> name_speaker("1089-134686-0000"), name_speaker("01to030v"), name_speaker("dir/a.wav")
    ('1089', '01t', '')
    """
    parsed = (parse(utterance) for parse in list_functions("parse_speaker"))
    return next((speaker for speaker in parsed if speaker), "")


def name_utterance(path: str) -> str:
    """The name of an utterance of a corpus whose names are unique; empty for other paths.

    >>> name_utterance("test-clean/1089/134686/1089-134686-0000.flac"), name_utterance("dir/a.wav")
    ('1089-134686-0000', '')
    """
    parsed = (parse(path) for parse in list_functions("parse_utterance"))
    return next((name for name in parsed if name), "")


def _name_utterances(source: SourceRef, root: Path) -> tuple[str, ...]:
    """Utterances' own names where these are unique (LibriSpeech's), or paths, of a source."""
    return tuple(name_utterance(path) or str(root / path) for path in source.paths)


def _trim(speaker: str) -> str:
    """LibriMix's own tables have IDs such as ``4077.0``."""
    return speaker.removesuffix(".0") if re.fullmatch(r"[0-9]+\.0", speaker) else speaker


def find_repeated(names: tuple[str, ...]) -> str:
    """Names that come more than once."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    return f"{', '.join(repeated)} twice" if repeated else ""
