"""The files that a mixture table's paths stand for, opened where they lie."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from separation.audio.clips import Clip, JoinedClip, open_clip
from separation.corpora.pack import ListedClip
from separation.errors import UserError
from separation.mixtures.table import MixtureRow, SourceRef


@dataclass
class Corpora:
    """The roots that the paths of mixture tables are relative to.

    Attributes:
        speech: root of the sources.
        noise: root of the noises; None where none is used.
        pack: a lossless pack that holds the sources; None to read the files.
    """

    speech: Path
    noise: Path | None = None
    pack: "ExactSource | None" = field(default=None, repr=False)

    def open_recording(self, path: str, channel: str = "mono") -> Clip:
        """Open a recording by its path in a table."""
        if self.pack is not None:
            clip = self.pack.find(path)
            if clip is not None:
                return clip
        return open_clip(self.speech / path, channel)

    def open_source(self, source: SourceRef) -> Clip:
        """Open a source of a mixture: a whole recording, or the piece that the row names."""
        clips = [self.open_recording(path, source.channel) for path in source.paths]
        if source.start is None:
            return clips[0]
        assert source.n_samples is not None
        return JoinedClip(clips, source.start, source.n_samples)

    def open_noise(self, path: str) -> Clip:
        """Open a noise, channel 0 of however many."""
        if self.noise is None:
            raise UserError(
                "the mixtures have noise but no noise corpus was given: add --corpus wham=DIR."
            )
        return open_clip(self.noise / path, "first")


class ExactSource(Protocol):
    """A lossless store of sources, by path."""

    def find(self, path: str) -> Clip | None:
        """The clip kept under this path, or None."""
        ...


def list_clips(rows: Iterable[MixtureRow]) -> list[ListedClip]:
    """Every source of mixture tables once, sorted by speaker and path."""
    found = {
        path: ListedClip(speaker=source.speaker or "speaker", path=path, channel=source.channel)
        for row in rows
        for source in row.sources
        for path in source.paths
    }
    return sorted(found.values(), key=lambda clip: (clip.speaker, clip.path))
