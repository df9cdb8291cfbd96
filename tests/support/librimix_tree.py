"""A LibriSpeech and WHAM tree for published LibriMix rows, the same samples on any machine.

Lengths, loudness and channels follow from the hash of each path, so that among the files are
odd lengths, sources that saturate after their gain, noises shorter than half the longest
source (cross-faded several times) and stereo noises.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import soundfile

from separation.files import read_rows

DATA = Path(__file__).resolve().parents[1] / "data"
RATE = 16000


def make_samples(seed: int, n_samples: int, loudest: int) -> np.ndarray:
    """Coloured noise of 16-bit integers, from NumPy's frozen legacy generator."""
    draws = np.random.RandomState(seed).randint(-loudest, loudest, n_samples + 2)
    return ((draws[:-2] + 2 * draws[1:-1] + draws[2:]) // 4).astype(np.int16)


def write_tree(rows: list[dict[str, str]], speech: Path, noise: Path) -> None:
    """Write every source and noise that the rows name."""
    for row in rows:
        for key, path in row.items():
            if key.startswith("source_") and key.endswith("_path"):
                _write_source(speech / path, zlib.crc32(path.encode()))
        _write_noise(noise / row["noise_path"], zlib.crc32(row["noise_path"].encode()))


def _write_source(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    loudest = 32767 if seed % 3 == 0 else 9000
    soundfile.write(path, make_samples(seed, 17000 + seed % 26001, loudest), RATE, "PCM_16")


def _write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    n_samples = 9001 + seed % 2001 if seed % 3 == 0 else 20000 + seed % 30001
    samples = make_samples(seed, n_samples, 8000)
    if seed % 2:
        samples = np.stack([samples, make_samples(seed + 1, n_samples, 3000)], axis=1)
    soundfile.write(path, samples, RATE, "PCM_16")


def hash_folder(folder: Path, names: list[str]) -> str:
    """sha256 over the 16-bit samples of the named WAV files, in order."""
    digest = hashlib.sha256()
    for name in names:
        samples, rate = soundfile.read(folder / f"{name}.wav", dtype="int16")
        digest.update(f"{name} {rate} {len(samples)}\n".encode() + samples.tobytes())
    return digest.hexdigest()


def read_reference_rows(n_src: int) -> list[dict[str, str]]:
    """The committed rows of the published metadata."""
    return read_rows(DATA / f"libri{n_src}mix_test-clean.csv")
