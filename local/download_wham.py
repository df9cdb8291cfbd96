"""WHAM! noise (CC BY-NC 4.0): recordings from public places, for noisy mixtures."""

import sys
from pathlib import Path

from separation.download.fetch import download as download_file
from separation.download.unpack import unpack
from separation.errors import UserError

URL = (
    "https://my-bucket-a8b4b49c25c811ee9a7e8bba05fa24c7.s3.amazonaws.com"  # the authors' bucket
    "/wham_noise.zip"
)
FOLDERS = ("cv", "tr", "tt", "metadata")


def download(folder: Path, url: str = URL) -> Path:
    """Fetch and unpack the noise; returns ``folder/wham_noise``.

    No checksum is published: only the zip's own (CRC-32 of each member) guard the bytes, and
    the folders that must be there. The archive is removed once unpacked.

    Raises:
        UserError: a failed download, a corrupt zip, or one without the noise.
    """
    root = folder / "wham_noise"
    archive = folder / "wham_noise.zip"
    if _find_missing(root):
        print("WHAM! noise: licence CC BY-NC 4.0, not for commercial use", file=sys.stderr)
        unpack(download_file(url, archive), folder)
    if missing := _find_missing(root):
        raise UserError(
            f"{archive}: {', '.join(missing)} not in it; "
            "remove it and run again, or give the noise with --corpus wham=DIR."
        )
    archive.unlink(missing_ok=True)  # also of a run that was killed right after unpacking
    return root


def _find_missing(root: Path) -> list[str]:
    return [name for name in FOLDERS if not (root / name).is_dir()]
