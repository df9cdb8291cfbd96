"""Archives of strangers: what leaves the folder, links, devices, bombs; nothing of them is left."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import soundfile

from separation.audio.files import read_audio
from separation.corpora.kaldi_archives import Place, read_archived
from separation.download.unpack import unpack
from separation.errors import UserError
from separation.safe_paths import find_name_fault
from tests.conftest import make_voice
from tests.faults.test_paths import LEAVING, list_files

ZEROS = 64 << 20  # bytes, which pack to a thousandth


def pack_entry(path: Path, name: str, **fields) -> Path:
    """A .tar.gz of a whole file and one more member."""
    with tarfile.open(path, "w:gz") as archive:
        for entry in (tarfile.TarInfo("top/a.txt"), tarfile.TarInfo(name)):
            if entry.name == name:
                for field, value in fields.items():
                    setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return path


def refuse(archive: Path, fault: str) -> None:
    """Unpacking says a sentence, and leaves nothing anywhere."""
    root = archive.parent
    (root / "canary").mkdir()
    (root / "canary" / "x").write_bytes(b"mine")
    before = list_files(root)
    with pytest.raises(UserError, match=fault) as refused:
        unpack(archive, root / "data" / "deep")
    assert str(archive) in str(refused.value) and "\n" not in str(refused.value)
    assert list_files(root) == before
    assert not list((root / "data" / "deep").iterdir())


OUTSIDE = [name for name in LEAVING if find_name_fault(name) == "leaves its folder"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_member_that_leaves_its_folder(kind, name, tmp_path):
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(zipfile.ZipInfo(name), b"theirs")
    else:
        pack_entry(archive, name)
    refuse(archive, "refused")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../../canary/x", "/etc/passwd", "a.txt", "top/a.txt"])
def test_links_are_refused_wherever_they_lead(kind, target, tmp_path):
    """Speech comes without; of links within links not every Python sees where they lead."""
    refuse(pack_entry(tmp_path / "a.tgz", "top/b", type=kind, linkname=target), "is a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(kind, tmp_path):
    refuse(pack_entry(tmp_path / "a.tgz", "top/b", type=kind), "is a link or a device")


def test_a_bomb_in_a_tar_archive(tmp_path):
    refuse(pack_entry(tmp_path / "a.tgz", "top/b", size=ZEROS), "more than 20 times")


def test_a_bomb_in_a_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("top/b", bytes(ZEROS))
    refuse(tmp_path / "a.zip", "more than 20 times")


def test_a_bomb_in_a_header_of_a_tar_archive(tmp_path):
    """tarfile reads the name of a member, however long, into memory at once."""
    entry = tarfile.TarInfo("@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, ZEROS
    with gzip.open(tmp_path / "a.tgz", "wb", 1) as packed:
        packed.write(entry.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(ZEROS))
    refuse(tmp_path / "a.tgz", "not a whole archive .a header of")


@pytest.mark.parametrize(("field", "value"), [("flag_bits", 1), ("compress_type", 99)])
def test_a_zip_archive_that_python_cannot_read(field, value, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("top/b", b"some words")
        setattr(packed.infolist()[0], field, value)
    refuse(tmp_path / "a.zip", "not a whole archive")


def test_a_zip_archive_that_lost_bytes_at_its_start(tmp_path):
    """Python looks for members before the file's start: an OSError."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("top/b", b"some words")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[8:])
    refuse(tmp_path / "a.zip", "not a whole archive")


HUGE = (1 << 30).to_bytes(4, "little")
ENTRIES = {
    b"AUDIO\x08" + b"\xff" * 8: "ends before its entry does",
    b"\0BFM \4" + b"\xff" * 4 + b"\4" + b"\xff" * 4 + bytes(9): r"states the shape \[-1, -1\]",
    b"\0BFM \4" + HUGE + b"\4" + HUGE: "ends before its entry does",
    b"\0BCM " + bytes(8) + HUGE + HUGE: "ends before its entry does",
    b"\0BCM " + bytes(16): "holds no samples",
    b"\0B\4" + b"\xff" * 4: "ends before its entry does",
    b"NPY\1\x0f\x93NUMPY\1\0\5\0{(1,)": "holds no array of samples",
    b"NPY\1\x40\x93NUMPY\1\0\x36\0"
    b"{'descr': '<i2', 'fortran_order': False, 'shape': (9,)}   ": "holds no array",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_of_kaldis_archives_that_states_what_it_does_not_hold(entry, tmp_path):
    (tmp_path / "raw.ark").write_bytes(entry)
    with pytest.raises(UserError, match=ENTRIES[entry]):
        read_archived(Place(tmp_path / "raw.ark", 0), 8000)


def test_a_flac_file_that_states_a_billion_samples(tmp_path):
    """Their memory was asked for before they were looked for."""
    soundfile.write(tmp_path / "a.flac", make_voice(1, 120, 0.3, 8000), 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[22] = 0x40  # of STREAMINFO's number of samples
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(UserError, match="more than its bytes can hold"):
        read_audio(tmp_path / "a.flac")
