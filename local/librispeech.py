"""LibriSpeech (OpenSLR 12): ``DIR/<subset>/<speaker>/<chapter>/<utterance>.flac``, 16 kHz."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.audio_tree import walk_links
from separation.corpora.plugin import CorpusInfo, DownloadRequest, Licence, Recording
from separation.corpora.recording_checks import read_table_text
from separation.download.fetch import check_space, count_remaining, download_file
from separation.download.unpack import UNPACKED_PER_PACKED, unpack
from separation.errors import MissingInputError, UserError

INFO = CorpusInfo(
    name="librispeech",
    kind="speech",
    title="LibriSpeech ASR corpus",
    licence=Licence("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    author="Vassil Panayotov",
    author_link="https://github.com/vdp",
    homepage="https://www.openslr.org/12",
    language="en",
    sample_rate=16000,
    subsets=(
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
        "dev-clean",
        "dev-other",
        "test-clean",
        "test-other",
    ),
    unpacked_as="LibriSpeech",
    readme="egs/librimix/README.md",
)
UTTERANCE = re.compile(r"[0-9]+-[0-9]+-[0-9]{4}")
BASE_URL = "https://www.openslr.org/resources/12"


@dataclass(frozen=True)
class Archive:
    """One ``<subset>.tar.gz``: its checksum and its size in bytes."""

    sha256: str
    size: int


ARCHIVES = {
    "dev-clean": Archive(
        "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 337926286
    ),
    "test-clean": Archive(
        "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 346663984
    ),
    "train-clean-100": Archive(
        "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", 6387309499
    ),
    "train-clean-360": Archive(
        "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", 23049477885
    ),
}


def list_recordings(root: Path) -> list[Recording]:
    """List the FLAC (or WAV) files of every subset under ``root``, sorted by path.

    Raises:
        MissingInputError: no such folder, no SPEAKERS.TXT, or no subset in it.
    """
    if not root.is_dir():
        raise MissingInputError(f"--corpus librispeech={root}: no such folder; check the path.")
    subsets = [name for name in INFO.subsets if (root / name).is_dir()]
    if not subsets:
        raise MissingInputError(
            f"--corpus librispeech={root}: holds none of {', '.join(INFO.subsets)}; give the "
            "folder that LibriSpeech's archives unpack to."
        )
    sexes = read_sexes(root / "SPEAKERS.TXT")
    return [row for subset in subsets for row in _list_subset(root, subset, sexes)]


def _list_subset(root: Path, subset: str, sexes: dict[str, str]) -> list[Recording]:
    found = []
    for folder, entries in walk_links(root / subset):
        names = [entry.name for entry in entries]
        transcripts = _read_transcripts(Path(folder), names)
        relative = Path(folder).relative_to(root).as_posix()
        for name in _choose_audio(names):
            stem, path = Path(name).stem, f"{relative}/{name}"
            speaker = stem.split("-")[0]
            if speaker not in sexes:
                raise UserError(f"{path}: speaker {speaker} is not in {root / 'SPEAKERS.TXT'}.")
            recording = Recording(
                speaker=speaker,
                sex=sexes[speaker],
                path=path,
                prompt=stem,
                transcript=transcripts.get(stem, ""),
                subset=subset,
            )
            found.append(recording)
    return sorted(found, key=lambda row: row.path)


def _choose_audio(names: list[str]) -> list[str]:
    """FLAC files, and WAV where one was converted; suffixes in any case."""
    by_suffix: dict[str, dict[str, str]] = {".wav": {}, ".flac": {}}
    for name in names:
        by_suffix.get(Path(name).suffix.lower(), {})[Path(name).stem] = name
    return [*(by_suffix[".wav"] | by_suffix[".flac"]).values()]


def _read_transcripts(folder: Path, names: list[str]) -> dict[str, str]:
    """``<speaker>-<chapter>.trans.txt``: an utterance and its words a line."""
    lines = [
        line
        for name in sorted(names)
        if name.endswith(".trans.txt")
        for line in read_table_text(folder / name)[0].splitlines()
    ]
    return dict(line.split(" ", 1) for line in lines if " " in line)


def read_sexes(path: Path) -> dict[str, str]:
    """Sex of every reader from SPEAKERS.TXT; names may hold the separator (reader 60's does)."""
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; it comes with each of LibriSpeech's archives.")
    sexes = {}
    for line in read_table_text(path)[0].splitlines():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith(";") and len(fields) >= 3:
            sexes[fields[0]] = fields[1]
    return sexes


def parse_utterance(path: str) -> str:
    """The utterance's own name in a path of LibriSpeech; empty for other paths.

    >>> parse_utterance("dev-clean/84/121123/84-121123-0000.flac"), parse_utterance("dir/a.wav")
    ('84-121123-0000', '')
    """
    stem = Path(path).stem
    return stem if UTTERANCE.fullmatch(stem) else ""


def parse_speaker(utterance: str) -> str:
    """The speaker of an utterance of LibriSpeech; empty for other names.

    >>> parse_speaker("1089-134686-0000"), parse_speaker("dir/a.wav")
    ('1089', '')
    """
    return utterance.split("-")[0] if UTTERANCE.fullmatch(utterance) else ""


def download(folder: Path, request: DownloadRequest) -> None:
    """Fetch and unpack the missing subsets into ``folder/LibriSpeech``.

    A subset whose folder is there is left alone. Archives are removed once unpacked.

    Args:
        folder: holds the archives on the way and ``LibriSpeech/<subset>/``.
        request: its ``subsets`` are names among ``ARCHIVES``.

    Raises:
        UserError: an unknown subset, too little disk for all of them, a failed download.
    """
    subsets = request.subsets or tuple(ARCHIVES)
    for subset in subsets:
        if subset not in ARCHIVES:
            raise UserError(f"LibriSpeech has no subset {subset} here; use {', '.join(ARCHIVES)}.")
    missing = [name for name in subsets if not (folder / INFO.folder / name).is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tar.gz.unpacking"):  # by a killed run; it must not count as used
        shutil.rmtree(left, ignore_errors=True)
    check_space(folder, _count_needed(folder, missing))
    for subset in missing:
        archive = _locate_archive(folder, subset)
        wanted = ARCHIVES[subset]
        url = f"{BASE_URL}/{subset}.tar.gz"
        download_file(url, archive, sha256=wanted.sha256, size=wanted.size)
        unpack(archive, folder)
    for subset in subsets:  # also of a run that was killed right after unpacking
        _locate_archive(folder, subset).unlink(missing_ok=True)


def _locate_archive(folder: Path, subset: str) -> Path:
    return folder / f"{subset}.tar.gz"


def _count_needed(folder: Path, subsets: list[str]) -> int:
    """Bytes at the worst moment: everything unpacked, and the largest archive beside it."""
    remaining = [
        count_remaining(_locate_archive(folder, subset), ARCHIVES[subset].size)
        for subset in subsets
    ]
    unpacked = sum(round(UNPACKED_PER_PACKED * ARCHIVES[subset].size) for subset in subsets)
    return unpacked + max(remaining, default=0)
