"""A small WSJ0 in its layout for published wsj0-mix rows, the same samples on any machine."""

import zlib
from pathlib import Path

import soundfile

from tests.support.librimix_tree import DATA, make_samples

LISTS = DATA / "wsj0mix"
CONDITIONS = ("tr", "cv", "tt")


def list_paths(n_src: int) -> list[str]:
    """Paths such as ``wsj0/si_tr_s/01t/01to030v.wav`` that the committed lists name."""
    tables = [LISTS / f"mix_{n_src}_spk_{name}.txt" for name in CONDITIONS]
    lines = [line.split() for table in tables for line in table.read_text().splitlines()]
    return sorted({path for fields in lines for path in fields[::2]})


def write_wsj0(root: Path, n_src: int, suffix: str = ".wav") -> None:
    """Write every utterance; with ``.wv1`` as uncompressed NIST sphere."""
    for path in list_paths(n_src):
        seed = zlib.crc32(path.encode())
        samples = make_samples(seed, 15000 + seed % 20001, 3000 + seed % 9000)
        target = (root / path).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = "NIST" if suffix == ".wv1" else None
        soundfile.write(target, samples, 16000, "PCM_16", format=kind)
