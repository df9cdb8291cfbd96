"""Every audio file below a folder: links followed, loops not, and what is left out by kind."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from separation.audio.files import AUDIO_SUFFIXES, FFMPEG_SUFFIXES, find_ffmpeg
from separation.errors import UserError
from separation.text import list_first

BROKEN_LINK = "links that lead nowhere"


@dataclass(frozen=True)
class AudioTree:
    """Audio files below a folder.

    Attributes:
        paths: relative, with ``/``, sorted folder by folder.
        left_out: paths of audio that cannot be read here, by suffix.
    """

    paths: list[str]
    left_out: dict[str, list[str]]

    def describe_left_out(self) -> list[str]:
        """Sentences about files that are not read; mostly none.

        >>> AudioTree([], {".m4a": ["a.m4a"]}).describe_left_out()
        ['1 .m4a files are left out (a.m4a): install ffmpeg, or convert them to WAV or FLAC']
        """
        return [
            f"{len(paths)} {kind} are left out ({list_first(paths)})"
            if kind == BROKEN_LINK
            else f"{len(paths)} {kind} files are left out ({list_first(paths)}): install ffmpeg, "
            "or convert them to WAV or FLAC"
            for kind, paths in sorted(self.left_out.items())
        ]


def walk_links(root: Path) -> Iterator[tuple[str, list[os.DirEntry]]]:
    """Folders below ``root``, itself first, and their files; sorted, without hidden ones.

    Linked folders are followed, but for those that lead to a folder on the way to them.
    """
    yield from _walk(str(root), frozenset({os.path.realpath(root)}))


def _walk(folder: str, above: frozenset[str]) -> Iterator[tuple[str, list[os.DirEntry]]]:
    with os.scandir(folder) as entries:
        shown = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    folders = [entry.path for entry in shown if _is_folder(entry)]
    known = set(folders)
    yield folder, [entry for entry in shown if entry.path not in known]
    for path in folders:
        real = os.path.realpath(path)
        if real not in above:
            yield from _walk(path, above | {real})


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def list_audio(root: Path) -> AudioTree:
    """The audio files below ``root``.

    Raises:
        UserError: names that are not UTF-8.
    """
    wanted = AUDIO_SUFFIXES | (FFMPEG_SUFFIXES if find_ffmpeg() else frozenset())
    paths: list[str] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    for folder, entries in walk_links(root):
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
            if suffix not in wanted and suffix not in FFMPEG_SUFFIXES:
                continue
            path = os.path.relpath(entry.path, root)
            if not os.path.isfile(entry.path):  # noqa: PTH113
                left_out[BROKEN_LINK].append(path)
            elif suffix in wanted:
                paths.append(path)
            else:
                left_out[suffix].append(path)
        _check_names(folder, entries)
    return AudioTree(sorted(paths, key=lambda path: path.split("/")), dict(left_out))


def _check_names(folder: str, entries: list[os.DirEntry]) -> None:
    """A name in another coding could not be written into a table."""
    odd = [os.path.join(folder, entry.name) for entry in entries]  # noqa: PTH118
    odd = [path for path in odd if not path.isprintable() and not _is_utf8(path)]
    if odd:
        raw = os.fsencode(odd[0])
        raise UserError(
            f"{raw.decode('ascii', 'backslashreplace')}: this name is not UTF-8"
            f"{_guess_coding(raw)}; rename such files, as convmv -f gbk -t utf8 -r --notest DIR "
            "does."
        )


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _guess_coding(raw: bytes) -> str:
    try:
        return f" (as GBK it reads {raw.decode('gb18030')})"
    except UnicodeDecodeError:
        return ""
