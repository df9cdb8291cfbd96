"""LibriSpeech from OpenSLR 12 (CC BY 4.0): read English, 16 kHz FLAC."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from separation.download.fetch import check_space
from separation.download.fetch import download as download_file
from separation.download.unpack import UNPACKED_PER_PACKED, unpack
from separation.errors import UserError

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


def download(folder: Path, subsets: list[str], base_url: str = BASE_URL) -> Path:
    """Fetch and unpack the missing subsets; returns ``folder/LibriSpeech``.

    A subset whose folder is there is left alone. Archives are removed once unpacked.

    Args:
        folder: holds the archives on the way and ``LibriSpeech/<subset>/``.
        subsets: names among ``ARCHIVES``.
        base_url: where ``<subset>.tar.gz`` lie.

    Raises:
        UserError: an unknown subset, too little disk for all of them, a failed download.
    """
    for subset in subsets:
        if subset not in ARCHIVES:
            raise UserError(f"LibriSpeech has no subset {subset} here; use {', '.join(ARCHIVES)}.")
    root = folder / "LibriSpeech"
    missing = [subset for subset in subsets if not (root / subset).is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tar.gz.unpacking"):  # by a killed run; it must not count as used
        shutil.rmtree(left, ignore_errors=True)
    check_space(folder, _count_needed(folder, missing))
    for subset in missing:
        archive = _locate_archive(folder, subset)
        wanted = ARCHIVES[subset]
        url = f"{base_url}/{subset}.tar.gz"
        download_file(url, archive, sha256=wanted.sha256, size=wanted.size)
        unpack(archive, folder)
    for subset in subsets:  # also of a run that was killed right after unpacking
        _locate_archive(folder, subset).unlink(missing_ok=True)
    return root


def _locate_archive(folder: Path, subset: str) -> Path:
    return folder / f"{subset}.tar.gz"


def _count_needed(folder: Path, subsets: list[str]) -> int:
    """Bytes at the worst moment: everything unpacked, and the largest archive beside it."""
    unpacked = sum(round(UNPACKED_PER_PACKED * ARCHIVES[subset].size) for subset in subsets)
    return unpacked + max((_count_to_come(folder, subset) for subset in subsets), default=0)


def _count_to_come(folder: Path, subset: str) -> int:
    archive = _locate_archive(folder, subset)
    here = [path for path in (archive, archive.with_name(f"{archive.name}.part")) if path.exists()]
    return max(0, ARCHIVES[subset].size - sum(path.stat().st_size for path in here))
