"""The files that a mixture table's paths stand for, opened where they lie."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from separation.audio.clips import Clip, JoinedClip, open_clip
from separation.corpora.pack import ListedClip

try:  # decodes FLAC about 1.5 times as fast as libsndfile, to the same samples
    import miniaudio
except ImportError:  # pragma: no cover
    miniaudio = None

from separation.errors import UserError
from separation.mixtures.table import count_sources, split_paths


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

    def open_source(self, path: str, channel: str = "mono") -> Clip:
        """Open a source by its path in a mixture table."""
        if self.pack is not None:
            clip = self.pack.find(path)
            if clip is not None:
                return clip
        return open_clip(self.speech / path, channel)

    def open_listed(self, row: dict[str, str], number: int) -> Clip:
        """Open source ``number`` of a mixture table's row, whole or the piece that it names."""
        channel = row.get(f"source_{number}_channel") or "mono"
        clips = [self.open_source(path, channel) for path in split_paths(row, number)]
        start = row.get(f"source_{number}_start")
        if not start:
            return clips[0]
        return JoinedClip(clips, int(start), int(row[f"source_{number}_n_samples"]))

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


def list_clips(rows: list[dict[str, str]]) -> list[ListedClip]:
    """Every source of mixture tables once, sorted by speaker and path."""
    found = {}
    for row in rows:
        for k in range(1, count_sources(row) + 1):
            speaker = row.get(f"speaker_{k}_ID") or "speaker"
            channel = row.get(f"source_{k}_channel") or "first"
            for path in split_paths(row, k):
                found[path] = ListedClip(speaker=speaker, path=path, channel=channel)
    return sorted(found.values(), key=lambda clip: (clip.speaker, clip.path))
