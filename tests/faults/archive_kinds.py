"""Archives for the mutation campaign: packed corpora, and audio in Kaldi's archives."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from separation.corpora.kaldi_archives import Place, read_archived
from separation.download.unpack import unpack
from separation.files import hash_text
from tests.conftest import make_voice
from tests.faults.mutate import Kind

RATE = 8000
MEMBERS = {f"corpus/spk{k}/a{k}.txt": f"some words {k}\n".encode() * 20 for k in range(4)}


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in MEMBERS.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)


def _make_packed(name: str, write) -> Kind:
    """An archive of a corpus, unpacked; its checksums tell of every changed byte of a file."""
    return Kind(
        name=name.replace(".", "-"),
        make=lambda folder: write(folder / name),
        read=lambda folder: _unpack(folder / name, folder / "data"),
        damaged=(name,),
        is_silent=lambda whole, got: any(got[key] != whole[key] for key in got.keys() & whole),
    )


def _unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Hashes of the unpacked files' contents by their names."""
    unpack(archive, folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hash_text(p.read_bytes().decode("latin-1")) for p in paths}


# Kaldi's archives --------------------------------------------------------------------------------


def _pack_entries() -> list[bytes]:
    """A voice in every form that ``wav.scp`` may point to, as Kaldi and kaldiio write them."""
    samples = make_voice(1, 120, 0.3, RATE)
    whole = np.round(samples * 32767)[:, None]
    n_rows = len(whole).to_bytes(4, "little")
    shape = b"\4" + n_rows + b"\4" + (1).to_bytes(4, "little")
    span = np.array([-8000, 16000], "<f4").tobytes() + n_rows + (1).to_bytes(4, "little")
    array = io.BytesIO()
    np.save(array, whole.astype(np.int16))
    points = np.array([0, 20000, 40000, 65535], "<u2").tobytes()
    coded = ((whole + 8000) * 255 / 16000).clip(0, 255).astype(np.uint8).tobytes()
    sized = b"".join(b"\4" + int(value).to_bytes(4, "little", signed=True) for value in whole[:, 0])
    return [
        *(_add_length(b"AUDIO", _encode(samples, kind)) for kind in ("WAV", "FLAC")),
        _encode(samples, "WAV"),
        _add_length(b"NPY", array.getvalue()),
        b"\0BFM " + shape + whole.astype("<f4").tobytes(),
        b"\0BDV " + shape[:5] + whole.astype("<f8").tobytes(),
        b"\0BCM " + span + points + coded,
        b"\0BCM3 " + span + coded,
        b"\0B\4" + n_rows + sized,
        b" [\n" + "\n".join(f"{value:.0f}" for value in whole[:, 0]).encode() + b" ]\n",
    ]


def _encode(samples: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE, format=kind, subtype="PCM_16")
    return stream.getvalue()


def _add_length(mark: bytes, data: bytes) -> bytes:
    length = len(data)
    n_bytes = (length.bit_length() + 7) // 8
    return mark + bytes([n_bytes]) + length.to_bytes(n_bytes, "little") + data


def _make_ark(number: int, entry: bytes) -> Kind:
    return Kind(
        name=f"ark-{number}",
        make=lambda folder: (folder / "raw.ark").write_bytes(b"utt " + entry),
        read=lambda folder: _read_ark(folder / "raw.ark"),
        damaged=("raw.ark",),
    )


def _read_ark(path: Path) -> tuple[tuple[int, ...], int]:
    samples, rate = read_archived(Place(path, len("utt ")), RATE)
    assert samples.dtype == np.float32 and samples.ndim == 2 and samples.size
    return samples.shape, rate


PACKED = [
    _make_packed("corpus.tar.gz", _write_tar),
    _make_packed("corpus.zip", _write_zip),
    *(_make_ark(number, entry) for number, entry in enumerate(_pack_entries())),
]
