"""AISHELL-3 from OpenSLR 93 (Apache-2.0): Mandarin, 218 speakers, 85.6 h of 44.1 kHz WAV.

No checksum of ``data_aishell3.tgz`` is published, nor was one found elsewhere. What guards the
bytes: the archive's size, which ESPnet's recipe pins; gzip's CRC-32 over all that is unpacked;
the numbers of utterances, which stage 1 can compare with ``local/prepare_aishell3.py``'s.
"""

import shutil
import sys
from pathlib import Path

from separation.download.fetch import check_space
from separation.download.fetch import download as download_file
from separation.download.unpack import unpack
from separation.errors import UserError

# Where the archive lies, by the name that a user gives.
MIRRORS = {
    "openslr": "https://www.openslr.org/resources/93",
    "us": "https://us.openslr.org/resources/93",
    "eu": "https://openslr.elda.org/resources/93",
    "trmal": "https://openslr.trmal.net/resources/93",
    "cn": "https://openslr.magicdatatech.com/resources/93",
}
ARCHIVE = "data_aishell3.tgz"
SIZE = 19_057_141_777  # bytes
UNPACKED_SIZE = 27_500_000_000  # bytes: 85.6 h of 16 bits at 44.1 kHz are 27.2 GB, and blocks
MEMBERS = (
    *("spk-info.txt", "test/content.txt", "test/wav", "train/content.txt", "train/wav"),
)  # that the prepare module reads


def download(folder: Path, mirror: str) -> None:
    """Fetch and unpack the corpus into ``folder/aishell3``; nothing where it is there.

    Interrupted at any moment, the same call goes on. The archive is removed once unpacked: for
    a moment both are on the disk, 46.6 GB.

    Args:
        folder: holds the archive on the way, and ``aishell3/``.
        mirror: a name among ``MIRRORS``.

    Raises:
        UserError: an unknown mirror, too little disk, a failed download, a corrupt archive.
    """
    if mirror not in MIRRORS:
        raise UserError(f"AISHELL-3 has no mirror {mirror} here; use {', '.join(MIRRORS)}.")
    root, archive = folder / "aishell3", folder / ARCHIVE
    root.mkdir(parents=True, exist_ok=True)
    # Left by a killed unpacking; it must not count as used.
    shutil.rmtree(root / f".{ARCHIVE}.unpacking", ignore_errors=True)
    if _find_missing(root):
        to_come = _count_to_come(archive)
        print(
            f"AISHELL-3: licence Apache-2.0, {to_come / 1e9:.1f} GB to download from {mirror}, "
            f"{UNPACKED_SIZE / 1e9:.1f} GB unpacked",
            file=sys.stderr,
        )
        check_space(folder, to_come + UNPACKED_SIZE)
        unpack(download_file(f"{MIRRORS[mirror]}/{ARCHIVE}", archive, size=SIZE), root)
    if missing := _find_missing(root):
        raise UserError(
            f"{archive}: {', '.join(missing)} not in it; remove it and run again with another "
            "mirror, or give the corpus with --corpus aishell3=DIR."
        )
    archive.unlink(missing_ok=True)  # also of a run that was killed right after unpacking


def _find_missing(root: Path) -> list[str]:
    """Members appear whole: :func:`unpack` moves ``train`` and ``test`` when all is unpacked."""
    return [name for name in MEMBERS if not (root / name).exists()]


def _count_to_come(archive: Path) -> int:
    here = [path for path in (archive, archive.with_name(f"{archive.name}.part")) if path.exists()]
    return max(0, SIZE - sum(path.stat().st_size for path in here))
