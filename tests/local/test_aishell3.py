"""AISHELL-3's archive, made small, from a server on the loopback address."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import aishell3 as module
from local.aishell3 import list_recordings
from separation.corpora.plugin import DownloadRequest
from separation.errors import UserError
from tests.conftest import ROOT
from tests.download import test_fetch as test_download
from tests.download.test_fetch import list_names, pack_tar, read_tree, set_free

site = test_download.site
TREE = {
    "ChangeLog": b"",
    "ReadMe.txt": b"",
    "phone_set.txt": b"",
    "spk-info.txt": b"# speakers\nSSB0005\tB\tfemale\tnorth\nSSB0009\tC\tmale\tsouth\n",
    "test/content.txt": "SSB00050001.wav\t广 guang3 州 zhou1\n".encode(),
    "test/wav/SSB0005/SSB00050001.wav": os.urandom(3000),
    "train/content.txt": "SSB00090001.wav\t你 ni3 好 hao3\n".encode(),
    "train/label_train-set.txt": b"",
    "train/wav/SSB0009/SSB00090001.wav": os.urandom(5000),
}
PACKED = pack_tar(TREE)


@pytest.fixture
def mirror(site, monkeypatch):
    """The site as the mirror ``openslr``, with the small archive."""
    site.files[f"/93/{module.ARCHIVE}"] = PACKED
    monkeypatch.setattr(
        module, "MIRRORS", {"openslr": f"{site.url}/93", "eu": "http://127.0.0.1:9"}
    )
    monkeypatch.setattr(module, "SIZE", len(PACKED))
    monkeypatch.setattr(module, "UNPACKED_SIZE", 10_000)
    return site


def assert_whole(folder: Path) -> None:
    assert list_names(folder) == ["aishell3"]
    assert read_tree(folder / "aishell3") == TREE


def test_fetched_and_unpacked_once(mirror, tmp_path, capsys):
    module.download(tmp_path / "corpora", DownloadRequest(mirror="openslr"))
    assert_whole(tmp_path / "corpora")
    module.download(tmp_path / "corpora", DownloadRequest(mirror="openslr"))
    module.download(tmp_path / "corpora", DownloadRequest(mirror="eu"))  # where nothing answers
    assert [answer.path for answer in mirror.log] == ["/93/data_aishell3.tgz"]
    assert capsys.readouterr().err.count("Apache-2.0") == 1
    found = list_recordings(tmp_path / "corpora/aishell3")
    assert [(row.speaker, row.transcript) for row in found] == [
        ("SSB0009", "你好"),
        ("SSB0005", "广州"),
    ]


def test_mirrors_are_named(tmp_path):
    with pytest.raises(UserError, match="no mirror mars here; use openslr, us, eu, trmal, cn"):
        module.download(tmp_path, DownloadRequest(mirror="mars"))
    assert not list_names(tmp_path)
    assert all(
        url.startswith("https://") and url.endswith("/93") for url in module.MIRRORS.values()
    )


def test_download_goes_on(mirror, tmp_path):
    (tmp_path / "data_aishell3.tgz.part").write_bytes(PACKED[:2000])
    mirror.cut_after, mirror.cuts = 500, 1
    module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert [answer.range for answer in mirror.log] == ["bytes=2000-", "bytes=2500-"]
    assert_whole(tmp_path)


KILLED = """
import os, signal, sys, tarfile
from pathlib import Path
from local import aishell3 as module
from separation.corpora.plugin import DownloadRequest
url, size, folder, moment = sys.argv[1:]
module.MIRRORS, module.SIZE, module.UNPACKED_SIZE = {"openslr": url}, int(size), 10_000

def kill_at(owner, name, is_moment):
    original = getattr(owner, name)
    def call(*args, **kwargs):
        if is_moment(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)
    setattr(owner, name, call)

if moment == "extracting":
    kill_at(tarfile.TarFile, "extract", lambda _, member, *__: member.name.startswith("train/wav"))
elif moment == "removing":
    kill_at(Path, "unlink", lambda path: path.name == module.ARCHIVE)
else:
    kill_at(Path, "replace", lambda path, _: path.name == moment)
module.download(Path(folder), DownloadRequest(mirror="openslr"))
"""


@pytest.mark.parametrize(
    "moment", ["data_aishell3.tgz.part", "extracting", "ChangeLog", "test", "train", "removing"]
)
def test_killed_at_any_moment_goes_on(mirror, tmp_path, moment):
    command = [sys.executable, "-c", KILLED, f"{mirror.url}/93", str(len(PACKED)), tmp_path, moment]
    killed = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(mirror.log) == 1 and list_names(tmp_path) != ["aishell3"]
    module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert_whole(tmp_path)
    assert len(mirror.log) == 1  # what was there is not fetched again


def test_somebodys_interrupted_unpacking_is_completed(mirror, tmp_path):
    (tmp_path / "aishell3/test/wav/SSB0005").mkdir(parents=True)
    (tmp_path / "aishell3/test/content.txt").write_bytes(b"half")
    module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert_whole(tmp_path)


def test_room_for_both_is_checked_before_the_first_byte(mirror, tmp_path, monkeypatch):
    (tmp_path / "data_aishell3.tgz.part").write_bytes(PACKED[:2000])
    needed = len(PACKED) - 2000 + 10_000
    set_free(monkeypatch, needed - 1)
    with pytest.raises(UserError, match="GB needed"):
        module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert not mirror.log
    set_free(monkeypatch, needed + 1000)
    module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert_whole(tmp_path)


def test_numbers_are_those_of_the_corpus():
    """85.6 h at 44.1 kHz and 16 bits do not fit into less."""
    assert module.UNPACKED_SIZE > 85.6 * 3600 * 44100 * 2
    assert module.SIZE == 19057141777


def test_archive_that_is_another(mirror, tmp_path, monkeypatch):
    mirror.files[f"/93/{module.ARCHIVE}"] = PACKED[:-1]
    with pytest.raises(UserError, match=r"offers .* bytes in place of"):
        module.download(tmp_path, DownloadRequest(mirror="openslr"))
    other = pack_tar({"data_aishell3/spk-info.txt": b""})
    mirror.files[f"/93/{module.ARCHIVE}"] = other
    monkeypatch.setattr(module, "SIZE", len(other))
    with pytest.raises(UserError, match=r"test/content.txt.* not in it; remove it"):
        module.download(tmp_path, DownloadRequest(mirror="openslr"))


def test_flipped_byte_is_found(mirror, tmp_path):
    broken = PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:]  # in gzip's CRC-32
    mirror.files[f"/93/{module.ARCHIVE}"] = broken
    with pytest.raises(UserError, match="not a whole archive"):
        module.download(tmp_path, DownloadRequest(mirror="openslr"))
    assert not list_names(tmp_path / "aishell3")
