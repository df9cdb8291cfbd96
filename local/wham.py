"""WHAM's noise: ``DIR/{tr,cv,tt}/*.wav``, 16 kHz, two channels of which the first is used."""

import sys
import zlib
from pathlib import Path

from separation.corpora.plugin import CorpusInfo, DownloadRequest, Licence, Recording
from separation.download.fetch import download_file
from separation.download.unpack import unpack
from separation.errors import MissingInputError, UserError
from separation.files import list_named

INFO = CorpusInfo(
    name="wham",
    kind="noise",
    title="The WSJ0 Hipster Ambient Mixtures noises",
    licence=Licence(
        "CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/", non_commercial=True
    ),
    author="Whisper.ai",
    author_link="http://whisper.ai/",
    homepage="http://wham.whisper.ai/",
    sample_rate=16000,
    unpacked_as="wham_noise",
    readme="egs/librimix/README.md",
)
URL = (
    "https://my-bucket-a8b4b49c25c811ee9a7e8bba05fa24c7.s3.amazonaws.com"  # the authors' bucket
    "/wham_noise.zip"
)
SPLITS = {"tr": "train", "cv": "dev", "tt": "test"}
FOLDERS = ("cv", "tr", "tt", "metadata")  # of the archive
N_GROUPS = 64  # so that packing goes in parallel and can be interrupted


def list_recordings(root: Path) -> list[Recording]:
    """List every noise; its ``speaker`` is one of a few groups of files.

    Raises:
        MissingInputError: a subset is not there.
    """
    missing = [name for name in SPLITS if not (root / name).is_dir()]
    if missing:
        raise MissingInputError(
            f"--corpus wham={root}: holds no {', '.join(missing)}; give the folder wham_noise, "
            "with tr, cv and tt in it."
        )
    return [
        Recording(
            speaker=f"noise{zlib.crc32(path.name.encode()) % N_GROUPS:02d}",
            path=f"{name}/{path.name}",
            prompt=path.stem,
            channel="first",
            subset=split,
        )
        for name, split in SPLITS.items()
        for path in list_named((root / name).glob("[!.]*"), ".wav")
    ]


def download(folder: Path, request: DownloadRequest) -> None:
    """Fetch and unpack the noise into ``folder/wham_noise``.

    No checksum is published: only the zip's own (CRC-32 of each member) guard the bytes, and
    the folders that must be there. The archive is removed once unpacked.

    Raises:
        UserError: a failed download, a corrupt zip, or one without the noise.
    """
    root = folder / INFO.folder
    archive = folder / "wham_noise.zip"
    if _find_missing(root):
        print("WHAM! noise: licence CC BY-NC 4.0, not for commercial use", file=sys.stderr)
        unpack(download_file(URL, archive), folder)
    if missing := _find_missing(root):
        raise UserError(
            f"{archive}: {', '.join(missing)} not in it; "
            "remove it and run again, or give the noise with --corpus wham=DIR."
        )
    archive.unlink(missing_ok=True)  # also of a run that was killed right after unpacking


def _find_missing(root: Path) -> list[str]:
    return [name for name in FOLDERS if not (root / name).is_dir()]
