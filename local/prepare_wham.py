"""WHAM's noise: ``DIR/{tr,cv,tt}/*.wav``, 16 kHz, two channels of which the first is used."""

import zlib
from pathlib import Path

from separation.corpora.plugin import Recording
from separation.errors import MissingInputError

SUBSETS = {"tr": "train", "cv": "dev", "tt": "test"}
N_GROUPS = 64  # so that packing goes in parallel and can be interrupted


def list_recordings(root: Path) -> list[Recording]:
    """List every noise; its ``speaker`` is one of a few groups of files.

    Raises:
        MissingInputError: a subset is not there.
    """
    missing = [name for name in SUBSETS if not (root / name).is_dir()]
    if missing:
        raise MissingInputError(
            f"--corpus wham={root}: holds no {', '.join(missing)}; give the folder wham_noise, "
            "with tr, cv and tt in it."
        )
    return [
        Recording(
            f"noise{zlib.crc32(path.name.encode()) % N_GROUPS:02d}",
            *("", f"{name}/{path.name}", path.stem, "first", "", subset),
        )
        for name, subset in SUBSETS.items()
        for path in sorted((root / name).glob("*.wav"))
    ]
