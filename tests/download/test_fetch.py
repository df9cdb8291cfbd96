"""Downloads against a server on the loopback address that cuts, stalls, lies and refuses."""

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local import librimix, librispeech, wham
from separation.corpora.plugin import DownloadRequest
from separation.download import fetch as module
from separation.download.fetch import download_file
from separation.download.unpack import unpack
from separation.errors import MissingInputError, UserError
from tests.conftest import ROOT

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64
FAR = shutil._ntuple_diskusage(10**12, 0, 10**12)


@dataclass
class Answer:
    """One request as the server saw it."""

    path: str
    status: int
    range: str
    accepts: str
    n_sent: int = 0
    mark: str = ""  # If-Range


@dataclass
class Site:
    """What the server holds and how it misbehaves; what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)  # answered first, one a request
    cut_after: int = 0  # bytes of a body, then the line is dead ...
    cuts: int = 0  # ... this many times
    ignore_range: bool = False
    hide_length: bool = False
    hide_total: bool = False
    marks: dict[str, str] = field(default_factory=dict)  # ETag, Last-Modified
    minds_marks: bool = True
    shift: int = 0  # bytes that a range starts too early
    stalls: int = 0  # answers that stop in the middle until the client gives up
    trickle_s: float = 0.0  # pause after each 64 KiB
    log: list[Answer] = field(default_factory=list)
    url: str = ""


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self.server_port}"
        self.site = Site(files={"/file.bin": CONTENT}, url=url)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        site = self.server.site
        path = urlsplit(self.path).path
        asked = self.headers.get("Range", "")
        answer = Answer(path, 200, asked, self.headers.get("Accept-Encoding", ""))
        answer.mark = self.headers.get("If-Range", "")
        site.log.append(answer)
        body = site.files.get(path)
        if site.statuses or body is None:
            answer.status = site.statuses.pop(0) if site.statuses else 404
            self.send_error(answer.status)
            return
        self.send_file(site, body, answer)

    def send_file(self, site: Site, body: bytes, answer: Answer) -> None:
        start, total = 0, "*" if site.hide_total else len(body)
        is_same = not answer.mark or answer.mark in site.marks.values() or not site.minds_marks
        if answer.range and not site.ignore_range and is_same:
            start = max(0, int(answer.range.removeprefix("bytes=").rstrip("-")) - site.shift)
            answer.status = 206 if start < len(body) else 416
        self.send_response(answer.status)
        if answer.status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{total}")
        if answer.status == 416:
            self.send_header("Content-Range", f"bytes */{total}")
        if not site.hide_length:
            self.send_header("Content-Length", str(len(body[start:])))
        for key, value in site.marks.items():
            self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.send_body(site, body[start:], answer)

    def send_body(self, site: Site, body: bytes, answer: Answer) -> None:
        if site.cuts:
            site.cuts -= 1
            body = body[: site.cut_after]
        for at in range(0, len(body), 1 << 16):
            if site.stalls and at:
                site.stalls -= 1
                self.connection.settimeout(5)
                self.connection.recv(1)  # returns when the client hangs up
                return
            chunk = body[at : at + (1 << 16)]
            answer.n_sent += len(chunk)  # first: the client may look at it right after
            self.wfile.write(chunk)
            time.sleep(site.trickle_s)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch(site: Site, folder: Path, **options) -> Path:
    return download_file(f"{site.url}/file.bin", folder / "deep/file.bin", pause_s=0.01, **options)


def part_of(folder: Path) -> Path:
    (folder / "deep").mkdir(exist_ok=True)
    return folder / "deep/file.bin.part"


def refusal(site: Site, folder: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        fetch(site, folder, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


def test_plain(site, tmp_path, capsys):
    path = fetch(site, tmp_path, sha256=SHA256, size=len(CONTENT))
    assert path == tmp_path / "deep/file.bin"
    assert path.read_bytes() == CONTENT
    assert list_names(path.parent) == ["file.bin"]
    assert [(a.range, a.accepts, a.n_sent) for a in site.log] == [("", "identity", len(CONTENT))]
    shown = capsys.readouterr()
    assert not shown.out
    assert re.search(r"download file.bin: 100%.*1.05M/1.05M \[00:00<00:00, [\d.]+MB/s\]", shown.err)


@pytest.mark.parametrize("options", [{}, {"sha256": SHA256}, {"size": len(CONTENT)}])
def test_already_there_costs_no_request(site, tmp_path, options):
    fetch(site, tmp_path)
    site.log.clear()
    assert fetch(site, tmp_path, **options).read_bytes() == CONTENT
    assert not site.log


@pytest.mark.parametrize("options", [{"sha256": SHA256}, {"size": len(CONTENT)}])
def test_there_but_wrong_is_downloaded_anew(site, tmp_path, options):
    part_of(tmp_path).with_name("file.bin").write_bytes(b"half")
    assert fetch(site, tmp_path, **options).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{}, {"size": len(CONTENT)}])
@pytest.mark.parametrize("hide_total", [False, True])
def test_cut_connection_goes_on_from_there(site, tmp_path, known, hide_total):
    site.cut_after, site.cuts, site.hide_total = 300_001, 2, hide_total
    assert fetch(site, tmp_path, sha256=SHA256, **known).read_bytes() == CONTENT
    sent = [(answer.range, answer.n_sent) for answer in site.log]
    assert sent == [
        ("", 300_001),
        ("bytes=300001-", 300_001),
        ("bytes=600002-", len(CONTENT) - 600_002),
    ]


def test_cut_without_content_length_is_seen_by_size(site, tmp_path):
    site.cut_after, site.cuts, site.hide_length = 300_001, 1, True
    assert fetch(site, tmp_path, size=len(CONTENT)).read_bytes() == CONTENT
    assert [answer.range for answer in site.log] == ["", "bytes=300001-"]


def test_always_cut_gives_up_and_keeps_the_part(site, tmp_path):
    site.cut_after, site.cuts = 100_000, 99
    message = refusal(site, tmp_path, attempts=3)
    assert len(site.log) == 3
    assert f"{site.url}/file.bin" in message and "attempt 3" in message and "--corpus" in message
    assert part_of(tmp_path).read_bytes() == CONTENT[:300_000]
    site.cuts = 0
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert site.log[-1].n_sent == len(CONTENT) - 300_000


def test_stalled_server_is_a_timeout(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUTS_S", (1.0, 0.2))
    site.stalls = 1
    started = time.monotonic()
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert time.monotonic() - started < 3  # the server itself hangs up after 5
    assert [answer.range for answer in site.log] == ["", "bytes=65536-"]


def test_no_server_is_one_sentence(site, tmp_path, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    site.url = "http://127.0.0.1:9"
    message = refusal(site, tmp_path, attempts=4)
    assert "Connection refused" in message
    assert pauses == [0.01, 0.02, 0.04]


def test_malformed_url_is_one_sentence(site, tmp_path):
    site.url = "nonsense:/"
    assert "nonsense:" in refusal(site, tmp_path)


CHILD = """
import signal, sys
from pathlib import Path
from separation.download.fetch import download_file
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
download_file(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_killed_process_goes_on(site, tmp_path, stop):
    site.trickle_s = 0.05
    command = [sys.executable, "-c", CHILD, f"{site.url}/file.bin", tmp_path / "deep/file.bin"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    part = part_of(tmp_path)
    until = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size >= 3 << 16):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(stop)
    assert process.wait(10) != 0
    have = part.stat().st_size
    assert 0 < have < len(CONTENT) and not part.with_name("file.bin").exists()
    site.trickle_s = 0
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert (site.log[1].range, site.log[1].n_sent) == (f"bytes={have}-", len(CONTENT) - have)


def test_wrong_sha256_leaves_nothing(site, tmp_path):
    message = refusal(site, tmp_path, sha256=WRONG)
    assert WRONG in message and SHA256 in message
    assert not list_names(tmp_path / "deep")
    assert len(site.log) == 1


def test_git_blob(site, tmp_path):
    (tmp_path / "same").write_bytes(CONTENT)
    command = ["git", "hash-object", "--no-filters", tmp_path / "same"]
    blob = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert "git blob" in refusal(site, tmp_path, git_blob="0" * 40)
    assert not list_names(tmp_path / "deep")
    assert fetch(site, tmp_path, git_blob=blob).read_bytes() == CONTENT


def test_wrong_size(site, tmp_path):
    site.hide_length = True
    message = refusal(site, tmp_path, size=7)
    assert f"7 bytes expected, got {len(CONTENT)}" in message
    assert not list_names(tmp_path / "deep")


def test_login_page_in_place_of_the_file_does_not_cost_the_part(site, tmp_path):
    part_of(tmp_path).write_bytes(CONTENT[:1000])
    site.files["/file.bin"], site.ignore_range = b"<html>please log in</html>", True
    message = refusal(site, tmp_path, sha256=SHA256, size=len(CONTENT))
    assert "26 bytes in place of 1048576" in message
    assert part_of(tmp_path).read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("status", [404, 403])
def test_refusal_is_one_sentence_without_retry(site, tmp_path, status):
    site.statuses = [status]
    message = refusal(site, tmp_path)
    for word in (f"{site.url}/file.bin", str(status), str(tmp_path / "deep/file.bin"), "--corpus"):
        assert word in message
    assert len(site.log) == 1


@pytest.mark.parametrize("status", [503, 429])
def test_busy_server_is_asked_again(site, tmp_path, status):
    site.statuses = [status]
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert [answer.status for answer in site.log] == [status, 200]


def test_server_without_range_starts_over(site, tmp_path):
    site.cut_after, site.cuts, site.ignore_range = 300_001, 1, True
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    sent = [(answer.status, answer.range, answer.n_sent) for answer in site.log]
    assert sent == [(200, "", 300_001), (200, "bytes=300001-", len(CONTENT))]


def test_range_from_elsewhere_starts_over(site, tmp_path):
    part_of(tmp_path).write_bytes(CONTENT[:1000])
    site.shift = 10
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert [answer.range for answer in site.log] == ["bytes=1000-", ""]


@pytest.mark.parametrize(
    ("part", "hide_total", "statuses"),
    [
        (CONTENT, False, [416]),
        (CONTENT + b"more", False, [416, 200]),
        (CONTENT, True, [416, 200]),
    ],
)
def test_416(site, tmp_path, part, hide_total, statuses):
    part_of(tmp_path).write_bytes(part)
    site.hide_total = hide_total
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert [answer.status for answer in site.log] == statuses


def test_complete_part_of_known_size_costs_no_request(site, tmp_path):
    part_of(tmp_path).write_bytes(CONTENT)
    assert fetch(site, tmp_path, sha256=SHA256, size=len(CONTENT)).read_bytes() == CONTENT
    assert not site.log


OLD = {"ETag": '"1"', "Last-Modified": "Wed, 25 Nov 2026 16:00:00 GMT"}
NEW = {"ETag": '"2"', "Last-Modified": "Wed, 25 Nov 2026 17:00:00 GMT"}


def cut_once(site: Site, folder: Path, **options) -> None:
    """A call that ends after 300,001 bytes of ``CONTENT``."""
    site.cut_after, site.cuts = 300_001, 1
    assert "run the same command to go on" in refusal(site, folder, attempts=1, **options)
    site.log.clear()


@pytest.mark.parametrize(
    ("marks", "mark"),
    [
        (OLD, '"1"'),
        (OLD | {"ETag": 'W/"1"'}, OLD["Last-Modified"]),  # a weak one is no proof
        ({"ETag": 'W/"1"'}, ""),
        ({}, ""),
    ],
)
def test_later_call_goes_on_if_the_file_is_the_same(site, tmp_path, marks, mark):
    site.marks = marks
    cut_once(site, tmp_path)
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert list_names(tmp_path / "deep") == ["file.bin"]
    (last,) = site.log
    assert (last.status, last.range, last.mark) == (206, "bytes=300001-", mark)


@pytest.mark.parametrize("minds_marks", [True, False])
@pytest.mark.parametrize("keep", [(), ("ETag",), ("Last-Modified",), ("ETag", "Last-Modified")])
def test_a_file_that_changed_between_calls_is_not_spliced(site, tmp_path, minds_marks, keep):
    """Its old beginning and its new end were joined. The server may not know If-Range, even."""
    site.marks = OLD
    cut_once(site, tmp_path)
    changed = bytes(reversed(CONTENT)) + (b"more" if len(keep) == 2 else b"")  # told by its size
    site.files["/file.bin"], site.minds_marks = changed, minds_marks
    site.marks = {key: (OLD if key in keep else NEW)[key] for key in OLD}
    assert fetch(site, tmp_path).read_bytes() == changed
    assert site.log[-1].status == 200 and site.log[0].mark == '"1"'


def test_a_checksum_needs_no_mark_which_a_mirror_may_not_share(site, tmp_path):
    site.marks = OLD
    cut_once(site, tmp_path, sha256=SHA256)
    site.marks = NEW
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert [(answer.status, answer.mark) for answer in site.log] == [(206, "")]


def tell_page(path: Path) -> str:
    return "it is a page" if path.read_bytes().startswith(b"<html") else ""


def test_a_page_in_place_of_the_file_does_not_become_it(site, tmp_path):
    """A login page, answered with 200, was taken for the file by every later call."""
    content, site.files["/file.bin"] = site.files["/file.bin"], b"<html>log in</html>"
    message = refusal(site, tmp_path, describe_fault=tell_page)
    assert "it is a page, so it was removed" in message and not list_names(tmp_path / "deep")
    (tmp_path / "deep" / "file.bin").write_bytes(b"<html>of an earlier program</html>")
    site.files["/file.bin"] = content
    assert fetch(site, tmp_path, describe_fault=tell_page).read_bytes() == CONTENT


@pytest.mark.parametrize(("marks", "n_sent"), [(OLD, len(CONTENT) - 300_001), ({}, len(CONTENT))])
def test_what_nothing_checks_is_not_gone_on_with_blindly(site, tmp_path, marks, n_sent):
    site.marks = marks
    cut_once(site, tmp_path, describe_fault=tell_page)
    assert fetch(site, tmp_path, describe_fault=tell_page).read_bytes() == CONTENT
    assert [answer.n_sent for answer in site.log] == [n_sent]


def test_two_processes_do_not_write_one_part(site, tmp_path):
    site.trickle_s = 0.02
    command = [sys.executable, "-c", CHILD, f"{site.url}/file.bin", tmp_path / "deep/file.bin"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    part, until = part_of(tmp_path), time.monotonic() + 10
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    assert "another process is downloading it" in refusal(site, tmp_path)
    assert fetch(site, tmp_path, wait_s=10).read_bytes() == CONTENT  # what the other has made
    assert process.wait(10) == 0 and len(site.log) == 1
    assert list_names(tmp_path / "deep") == ["file.bin"]


def test_folder_that_cannot_be_made_is_one_sentence(site, tmp_path):
    (tmp_path / "deep").write_text("a file")
    message = refusal(site, tmp_path)
    assert f"{tmp_path / 'deep'}: cannot be written" in message and "--data DIR" in message


def set_free(monkeypatch: pytest.MonkeyPatch, n_bytes: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FAR._replace(free=int(n_bytes)))


def test_too_little_disk_is_said_before_starting(site, tmp_path, monkeypatch):
    part_of(tmp_path).write_bytes(CONTENT[:500_000])
    to_come = len(CONTENT) - 500_000
    set_free(monkeypatch, 1.04 * to_come)
    message = refusal(site, tmp_path)
    assert str(tmp_path / "deep") in message and "--data DIR" in message
    assert "0.00 GB free, 0.00 GB needed" in message
    assert part_of(tmp_path).read_bytes() == CONTENT[:500_000]
    set_free(monkeypatch, 1.06 * to_come)
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_needed_disk_by_size_where_the_server_tells_no_length(site, tmp_path, monkeypatch):
    site.hide_length = True
    set_free(monkeypatch, 3e9)
    assert "3.00 GB free, 4.20 GB needed" in refusal(site, tmp_path, size=4 * 10**9)


class FullDisk(io.FileIO):
    """A file on a disk with room for 200,000 bytes."""

    def write(self, data) -> int:
        if self.tell() + len(data) > 200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_disk_full_while_writing_keeps_the_part(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "open", FullDisk, raising=False)
    message = refusal(site, tmp_path)
    assert str(tmp_path / "deep") in message and "full" in message and "--data DIR" in message
    monkeypatch.undo()
    assert part_of(tmp_path).read_bytes() == CONTENT[: 3 << 16]
    assert fetch(site, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert site.log[-1].range == f"bytes={3 << 16}-"


def test_proxy_from_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)
    path = download_file("http://corpus.invalid/file.bin", tmp_path / "file.bin")
    assert path.read_bytes() == CONTENT


def pack_tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def pack_zip(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


PACKERS = {"speech.tar.gz": pack_tar, "speech.tgz": pack_tar, "speech.zip": pack_zip}
MEMBERS = {
    "LibriSpeech/SPEAKERS.TXT": b"new",
    "LibriSpeech/dev-clean/1/2/1-2-0.flac": os.urandom(50_000),
    "LibriSpeech/dev-clean/1/2/1-2-1.flac": os.urandom(50_000).hex().encode(),
}
each_archive = pytest.mark.parametrize("name", PACKERS)


def put_archive(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    archive = folder / name
    archive.write_bytes(PACKERS[name](members))
    return archive


def read_tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@each_archive
def test_unpack(tmp_path, capsys, name):
    unpack(put_archive(tmp_path, name, MEMBERS), tmp_path / "data")
    assert read_tree(tmp_path / "data") == MEMBERS
    assert list_names(tmp_path / "data") == ["LibriSpeech"]
    assert re.search(rf"unpack {name}: 100%.*B/s", capsys.readouterr().err)


@each_archive
def test_unpack_beside_what_is_there(tmp_path, name):
    root = tmp_path / "LibriSpeech"
    (root / "test-clean").mkdir(parents=True)
    (root / "dev-clean/9").mkdir(parents=True)
    (root / "SPEAKERS.TXT").write_bytes(b"old")
    (root / "test-clean/3.flac").write_bytes(b"3")
    (root / "dev-clean/9/stale.flac").write_bytes(b"9")
    unpack(put_archive(tmp_path, name, MEMBERS), tmp_path)
    (tmp_path / name).unlink()
    assert read_tree(tmp_path) == MEMBERS | {"LibriSpeech/test-clean/3.flac": b"3"}


KILLED = """
import os, signal, sys, tarfile, zipfile
from pathlib import Path
from separation.download.unpack import unpack
def fail_on_third(original, calls=[]):
    def extract(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)
    return extract
tarfile.TarFile.extract = fail_on_third(tarfile.TarFile.extract)
zipfile.ZipFile.extract = fail_on_third(zipfile.ZipFile.extract)
unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("name", ["speech.tar.gz", "speech.zip"])
def test_interrupted_unpacking_is_not_taken_as_finished(tmp_path, name):
    archive = put_archive(tmp_path, name, MEMBERS | {"LibriSpeech/later": b""})
    command = [sys.executable, "-c", KILLED, archive, tmp_path / "data"]
    killed = subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list_names(tmp_path / "data") == [f".{name}.unpacking"]
    unpack(put_archive(tmp_path, name, MEMBERS), tmp_path / "data")
    assert read_tree(tmp_path / "data") == MEMBERS


def test_texts_are_moved_before_the_folder_that_marks_a_subset(tmp_path, monkeypatch):
    (tmp_path / "LibriSpeech").mkdir()
    moved: list[str] = []
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        moved.append(target.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    unpack(put_archive(tmp_path, "speech.zip", MEMBERS | {"LibriSpeech/z": b""}), tmp_path)
    assert moved == ["SPEAKERS.TXT", "z", "dev-clean"]


@each_archive
def test_evil_member_is_refused(tmp_path, name):
    archive = put_archive(tmp_path, name, MEMBERS | {"../evil.txt": b"x"})
    with pytest.raises(UserError, match=r"evil.txt.*refused"):
        unpack(archive, tmp_path / "data/deep")
    assert list_names(tmp_path) == ["data", name]
    assert list_names(tmp_path / "data") == ["deep"] and not list_names(tmp_path / "data/deep")


def cut_end(packed: bytes) -> bytes:
    return packed[: len(packed) // 2]


def flip_sum(packed: bytes) -> bytes:
    return packed[:-8] + bytes(4) + packed[-4:]  # gzip's CRC-32 stands before the length


def flip_byte(packed: bytes) -> bytes:
    at = len(packed) // 2
    return packed[:at] + bytes([packed[at] ^ 255]) + packed[at + 1 :]


def spoil_deflate(packed: bytes) -> bytes:
    at = packed.index(b"1-2-1.flac") + len(b"1-2-1.flac")
    return packed[:at] + b"\7" + packed[at + 1 :]  # a block of type 3, which does not exist


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            (name, damage)
            for name in ("speech.tar.gz", "speech.zip")
            for damage in (cut_end, flip_byte)
        ),
        ("speech.tar.gz", flip_sum),
        ("speech.zip", spoil_deflate),
        ("speech.tar.gz", lambda _: b"<html>"),
        ("speech.zip", lambda _: b"<html>"),
        ("speech.tar.gz", lambda _: b""),
    ],
)
def test_corrupt_archive_is_named(tmp_path, name, damage):
    archive = tmp_path / name
    archive.write_bytes(damage(PACKERS[name](MEMBERS)))
    with pytest.raises(UserError, match=rf"{re.escape(str(archive))}: not a whole archive"):
        unpack(archive, tmp_path / "data")
    assert not list_names(tmp_path / "data")


def test_unpack_what_is_no_archive(tmp_path):
    with pytest.raises(UserError, match="by hand"):
        unpack(tmp_path / "speech.rar", tmp_path)
    with pytest.raises(MissingInputError, match="no such archive"):
        unpack(tmp_path / "speech.zip", tmp_path)


@pytest.mark.parametrize(("name", "needed"), [("speech.zip", 10**6), ("speech.tar.gz", 1_300_000)])
def test_unpack_checks_the_disk_first(tmp_path, monkeypatch, name, needed):
    archive = put_archive(tmp_path, name, {"top/a.flac": os.urandom(10**6)})
    set_free(monkeypatch, needed - 1)
    with pytest.raises(UserError, match="GB needed"):
        unpack(archive, tmp_path / "data")
    assert not list_names(tmp_path / "data")
    set_free(monkeypatch, needed * 1.01)
    unpack(archive, tmp_path / "data")
    assert list_names(tmp_path / "data/top") == ["a.flac"]


@pytest.fixture
def subsets(site, monkeypatch):
    """Two tiny subsets of LibriSpeech on the server."""
    archives = {}
    for number, subset in enumerate(("dev-clean", "test-clean"), 1):
        flac = {f"LibriSpeech/{subset}/{number}.flac": os.urandom(1000 * number)}
        packed = pack_tar({"LibriSpeech/SPEAKERS.TXT": b"%d" % number} | flac)
        site.files[f"/12/{subset}.tar.gz"] = packed
        checksum = hashlib.sha256(packed).hexdigest()
        archives[subset] = librispeech.Archive(checksum, len(packed))
    monkeypatch.setattr(librispeech, "ARCHIVES", archives)
    monkeypatch.setattr(librispeech, "BASE_URL", f"{site.url}/12")
    return archives


def test_librispeech(site, subsets, tmp_path):
    site.cut_after, site.cuts = 500, 1
    librispeech.download(tmp_path, DownloadRequest(("dev-clean",)))
    root = tmp_path / "LibriSpeech"
    librispeech.download(tmp_path, DownloadRequest(("dev-clean", "test-clean")))
    names = ["SPEAKERS.TXT", "dev-clean/1.flac", "test-clean/2.flac"]
    assert sorted(read_tree(root)) == names and list_names(tmp_path) == ["LibriSpeech"]
    paths = [answer.path for answer in site.log]
    assert paths == ["/12/dev-clean.tar.gz", "/12/dev-clean.tar.gz", "/12/test-clean.tar.gz"]
    (tmp_path / "test-clean.tar.gz").write_bytes(b"left by a run killed after unpacking")
    librispeech.download(tmp_path, DownloadRequest(tuple(subsets)))
    assert len(site.log) == 3 and list_names(tmp_path) == ["LibriSpeech"]


def test_librispeech_space_of_a_killed_unpacking_counts_as_free(
    site, subsets, tmp_path, monkeypatch
):
    left = tmp_path / ".dev-clean.tar.gz.unpacking"
    left.mkdir()
    free = lambda _: FAR._replace(free=0 if left.exists() else 10**6)  # noqa: E731
    monkeypatch.setattr(librispeech, "unpack", lambda *_: None)
    monkeypatch.setattr(shutil, "disk_usage", free)
    librispeech.download(tmp_path, DownloadRequest(("dev-clean",)))


def test_librispeech_counts_a_part_as_come(site, subsets, tmp_path, monkeypatch):
    wanted = subsets["dev-clean"]
    packed = site.files["/12/dev-clean.tar.gz"]
    (tmp_path / "dev-clean.tar.gz.part").write_bytes(packed[:600])
    needed = round(1.3 * wanted.size) + wanted.size - 600
    set_free(monkeypatch, needed - 1)
    with pytest.raises(UserError, match="GB needed"):
        librispeech.download(tmp_path, DownloadRequest(("dev-clean",)))
    set_free(monkeypatch, needed)
    librispeech.download(tmp_path, DownloadRequest(("dev-clean",)))
    assert [answer.range for answer in site.log] == ["bytes=600-"]


def test_librispeech_of_other_content_is_not_unpacked(site, subsets, tmp_path):
    site.files["/12/dev-clean.tar.gz"] = bytes(subsets["dev-clean"].size)
    with pytest.raises(UserError, match=subsets["dev-clean"].sha256):
        librispeech.download(tmp_path, DownloadRequest(("dev-clean",)))
    assert not list_names(tmp_path)


def test_librispeech_checks_the_disk_for_all_before_the_first_byte(
    site, subsets, tmp_path, monkeypatch
):
    first, second = (archive.size for archive in subsets.values())
    needed = round(1.3 * first) + round(1.3 * second) + max(first, second)
    set_free(monkeypatch, needed - 1)
    with pytest.raises(UserError, match="GB needed"):
        librispeech.download(tmp_path, DownloadRequest(tuple(subsets)))
    assert not site.log
    set_free(monkeypatch, needed)
    librispeech.download(tmp_path, DownloadRequest(tuple(subsets)))
    with pytest.raises(UserError, match="no subset train-other"):
        librispeech.download(tmp_path, DownloadRequest(("train-other",)))


def test_librimix(site, tmp_path, monkeypatch):
    names = [f"metadata/Libri3Mix/libri3mix_test-clean{end}" for end in (".csv", "_info.csv")]
    tables = {name: f"mixture_ID\n{name}\n".encode() for name in names}
    blobs = {
        name: (hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest(), 0)
        for name, text in tables.items()
    }
    assert blobs.keys() <= librimix.BLOBS.keys()
    monkeypatch.setattr(librimix, "BLOBS", blobs)
    site.files |= {f"/{name}": text for name, text in tables.items()}
    monkeypatch.setattr(librimix, "BASE_URL", site.url)
    request = DownloadRequest(("test-clean",), n_src=3)
    librimix.download(tmp_path, request)
    folder = tmp_path / "librimix"
    assert read_tree(folder) == tables
    assert all(librimix.is_published_file(folder / name) for name in names)
    (folder / names[0]).write_bytes(tables[names[1]])
    assert not librimix.is_published_file(folder / names[0])
    (folder / "other.csv").write_bytes(tables[names[1]])
    assert not librimix.is_published_file(folder / "other.csv")
    site.files[f"/{names[0]}"] = b"another commit"
    with pytest.raises(UserError, match=blobs[names[0]][0]):
        librimix.download(tmp_path, request)
    with pytest.raises(UserError, match=r"no .*libri4mix_test-clean.csv"):
        librimix.download(tmp_path, DownloadRequest(("test-clean",), n_src=4))


def test_librimix_blobs_are_all_tables_of_the_commit():
    blobs = librimix.BLOBS
    assert len(blobs) == 2 * 4 * 2 + 4 + 3
    assert all(re.fullmatch("[0-9a-f]{40}", git_blob) for git_blob, _ in blobs.values())
    assert len({Path(name).name for name in blobs}) == len(blobs)


def test_wham(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(wham, "URL", f"{site.url}/wham_noise.zip")
    noise = {f"wham_noise/{name}/a.wav": name.encode() for name in wham.FOLDERS}
    site.files["/wham_noise.zip"] = pack_zip(noise)
    (tmp_path / "wham_noise/tr").mkdir(parents=True)  # of somebody's interrupted unzip
    for _ in range(2):
        wham.download(tmp_path, DownloadRequest())
    assert read_tree(tmp_path) == noise
    assert len(site.log) == 1
    assert capsys.readouterr().err.count("CC BY-NC 4.0") == 1


def test_wham_zip_without_the_noise(site, tmp_path, monkeypatch):
    monkeypatch.setattr(wham, "URL", f"{site.url}/wham_noise.zip")
    site.files["/wham_noise.zip"] = pack_zip({"wham_noise/tr/a.wav": b""})
    with pytest.raises(UserError, match="cv, tt, metadata not in it"):
        wham.download(tmp_path, DownloadRequest())
