"""Fetching models through the real clients, from a server on the loopback address.

It answers as the Hub does (a HEAD with commit, linked ETag and size, a redirect to another host
that serves ranges) and as Zenodo does (a redirect to its new addresses).
"""

import contextlib
import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import threading
import types
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from separation.download import fetch as download
from separation.errors import UserError
from separation.models import published as published_models
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint import hub as hub_client
from separation.models.checkpoint import locate as checkpoint_sources
from tests.conftest import ROOT

CONTENT = b"\x80\x02" + bytes(range(256)) * 1024  # 256 KiB that begin as a checkpoint does
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMITS = {"main": "a" * 40, "v1": "b" * 40, "refs/pr/1": "c" * 40}
PINNED = COMMITS["main"]
COMMON = {"sample_rate": 16000, "n_src": 2, "task": "sep_clean", "test_set": "none", "licence": "x"}
SCORES = {"si_sdr": 14.5, "stoi": 0.9}
LIST = [
    {"name": "Org/pinned", "revision": PINNED, "size": len(CONTENT), "sha256": SHA256},
    {"name": "Org/loose"},
    {"name": "Org/wrong", "revision": PINNED, "sha256": "0" * 64},
    {"name": "Org/short", "revision": PINNED, "size": 12345, "sha256": SHA256},
    {"name": "Org/gone"},
    {"name": "Org/empty"},
    {"name": "Org/gated"},
    {"name": "Org/secret"},
]
REFUSALS = {  # repository: status, X-Error-Code, X-Error-Message
    "Org/gone": (404, "RepoNotFound", "Repository not found"),
    "Org/empty": (404, "EntryNotFound", "Entry not found"),
    "Org/pined": (404, "RepoNotFound", "Repository not found"),
    "Org/gated": (403, "GatedRepo", "Access to model Org/gated is restricted"),
}


@dataclass
class Hub:
    """What the server holds and how it misbehaves; what it was asked."""

    url: str = ""
    content: bytes = CONTENT  # what the CDN sends, whatever the ETag says
    etag: str = SHA256
    mark: str = ""  # ETag of Zenodo's file
    status: int = 0  # of every answer, where it is not 0
    has_xet: bool = False  # whether it offers its files by that protocol too
    cut_after: int = 0  # bytes of a body ...
    cuts: int = 0  # ... this many times
    pages: int = 0  # bodies that are a login page in place of the file
    log: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    tokens: list[str] = field(default_factory=list)
    n_sent: int = 0

    @property
    def ranges(self) -> list[str]:
        """Of every body that was asked for."""
        return [asked for method, path, asked in self.log if method == "GET" and "/cdn/" in path]


class Handler(BaseHTTPRequestHandler):
    """As huggingface.co and zenodo.org answer."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.log.append((self.command, path, self.headers.get("Range", "")))
        self.hub.tokens.append(f"{path.split('/')[1]} {self.headers.get('Authorization', '')}")
        if self.hub.status:
            self.reply(self.hub.status)
        elif path.startswith(("/cdn/", "/records/")):
            self.send_body()
        elif path == "/xet-token":
            self.reply(404)
        elif path.startswith("/record/"):
            self.reply(301, {"Location": self.path.replace("/record/", "/records/", 1)})
        else:
            self.answer_as_hub(path)

    def answer_as_hub(self, path: str) -> None:
        repository, _, rest = path.strip("/").partition("/resolve/")
        revision = unquote(rest.partition("/")[0])
        if repository == "Org/secret" and "Authorization" not in self.headers:
            self.reply(401, {"X-Error-Message": "Invalid username or password."})
        elif repository == "Org/secret" and "good" not in self.headers["Authorization"]:
            message = "Invalid credentials in Authorization header"
            self.reply(401, {"X-Error-Message": message})
        elif repository in REFUSALS:
            status, code, message = REFUSALS[repository]
            self.reply(status, {"X-Error-Code": code, "X-Error-Message": message})
        elif revision not in (*COMMITS, *COMMITS.values()):
            self.reply(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev"})
        else:
            elsewhere = self.hub.url.replace("127.0.0.1", "localhost")  # a CDN is another host
            headers = {
                "X-Repo-Commit": COMMITS.get(revision, revision),
                "X-Linked-Size": str(len(self.hub.content)),
                "X-Linked-ETag": f'"{self.hub.etag}"',
                "ETag": '"of the redirect"',
                "Location": f"{elsewhere}/cdn/{repository}?signature=x",
            }
            if self.hub.has_xet:
                headers["X-Xet-Hash"] = "d" * 64
                headers["X-Xet-Refresh-Route"] = f"{self.hub.url}/xet-token"
            self.reply(302, headers)

    def reply(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_body(self) -> None:
        asked, content = self.headers.get("Range", ""), self.hub.content
        if self.headers.get("If-Range", self.hub.mark) != self.hub.mark:
            asked = ""  # the file is another now
        if self.hub.pages:
            self.hub.pages -= 1
            asked, content = "", b"<html>log in</html>"
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if self.hub.mark:
            self.send_header("ETag", self.hub.mark)
        self.end_headers()
        body = content[start:]
        if self.hub.cuts:
            self.hub.cuts -= 1
            body = body[: self.hub.cut_after]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            self.hub.n_sent += len(body)

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def serve(handler: type[BaseHTTPRequestHandler]):
    """A server on the loopback address; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "hf_token"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    hub = Hub()
    with serve(type("BoundHandler", (Handler,), {"hub": hub})) as hub.url:
        yield hub


@pytest.fixture
def ask(hub, tmp_path):
    """Find a model in a new process, with caches of this test's own; returns what it printed."""
    listing = tmp_path / "list.yml"
    listing.write_text(yaml.safe_dump([COMMON | {"scores": dict(SCORES)} | e for e in LIST]))
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "ASTEROID_CACHE": str(tmp_path / "asteroid"),
        "PYTHONWARNINGS": "ignore",
    }

    def run(*texts: str, **environment) -> list[dict]:
        hub.log.clear()
        hub.n_sent = 0
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.hub_client", listing, *texts],
            cwd=ROOT,
            env=os.environ | own | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        answers = json.loads(done.stdout)
        for text, message in zip(texts, (a.get("error", "") for a in answers), strict=True):
            assert not message or message.startswith(f"{text}: "), message
            assert not message or (message.endswith(".") and "\n" not in message), message
        return answers

    return run


def test_first_download_and_then_the_cache(hub, ask, tmp_path):
    (first,) = ask("Org/pinned", HF_TOKEN="hf_good")
    assert Path(first["path"]).read_bytes() == CONTENT
    assert first["published"] == "Org/pinned" and not first["notes"]
    assert Path(first["path"]).is_relative_to(tmp_path / "hf" / "hub")
    resolve = f"/Org/pinned/resolve/{PINNED}/pytorch_model.bin"
    assert [entry[:2] for entry in hub.log] == [("HEAD", resolve), ("GET", "/cdn/Org/pinned")]
    # the token goes to the Hub and not to the CDN
    assert set(hub.tokens) == {"Org Bearer hf_good", "cdn "}
    assert ask("Org/pinned", f"Org/pinned@{PINNED}") == [first, first] and not hub.log
    # no connection either, which took five seconds where there was no network
    assert ask("Org/pinned", NO_CONNECTION="1") == [first]


def test_without_a_pin_the_hub_is_asked_but_sends_no_bytes_again(hub, ask):
    first = ask("Org/loose")
    assert Path(first[0]["path"]).read_bytes() == CONTENT and hub.n_sent == len(CONTENT)
    assert ask("Org/loose") == first
    assert [method for method, _, _ in hub.log] == ["HEAD"] and hub.n_sent == 0
    assert ask("Org/loose", HF_HUB_OFFLINE="1", NO_CONNECTION="1") == first and not hub.log
    assert ask("Org/loose", HF_ENDPOINT="http://127.0.0.1:9") == first


def test_revision_and_the_hubs_own_address(hub, ask):
    address = "https://huggingface.co/Org/loose"
    by_name, by_url, newest = ask(
        "Org/loose@v1", f"{address}/resolve/v1/pytorch_model.bin?download=true", address
    )
    assert COMMITS["v1"] in by_name["path"] and "/resolve/v1/" in hub.log[0][1]
    assert by_url["path"] == by_name["path"] and COMMITS["main"] in newest["path"]


def test_revision_with_a_slash_is_one(ask):
    """It was taken for a path that is missing."""
    address = "https://huggingface.co/Org/loose/tree/refs%2Fpr%2F1"
    for answer in ask("Org/loose@refs/pr/1", "Org/other@refs/pr/1", address):
        assert COMMITS["refs/pr/1"] in answer["path"]


def test_published_scores_are_those_of_the_published_revision(hub, ask):
    """Any revision got them."""
    hub.etag = "not-a-sha256"
    hub.content = CONTENT[:-1] + b"x"
    other, loose, main, newest = ask("Org/pinned@v1", "Org/loose@v1", "Org/loose@main", "Org/loose")
    for answer, name in ((other, "Org/pinned@v1"), (loose, "Org/loose@v1")):
        assert answer["published"] == name and answer["scores"] == {}
        assert "are those of another revision" in answer["notes"][0]
    assert main["scores"] == newest["scores"] == SCORES and main["published"] == "Org/loose"
    # the same file under another commit, such as one of its card
    hub.content, hub.etag = CONTENT, SHA256
    (same,) = ask("Org/pinned@refs/pr/1")
    assert (same["published"], same["scores"], same["notes"]) == ("Org/pinned", SCORES, [])


@pytest.mark.parametrize("has_xet", [False, True])
def test_cut_download_goes_on_within_a_call(has_xet, hub, ask):
    """Also where the Hub offers Xet, whose client begins anew."""
    hub.has_xet = has_xet
    hub.cuts, hub.cut_after = 1, 100_000
    assert Path(ask("Org/pinned")[0]["path"]).read_bytes() == CONTENT
    first, second = hub.ranges
    assert first == "" and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 100_000


def test_xet_that_fails_is_one_sentence(hub, ask):
    """For those who turn it on; its client raises what no other part of the Hub's does."""
    hub.has_xet = True
    assert "404" in ask("Org/pinned", HF_HUB_DISABLE_XET="0")[0]["error"]


def test_hf_transfer_that_is_not_installed_is_one_sentence(ask):
    """Machines of many users have it turned on; it was a traceback."""
    (answer,) = ask("Org/pinned", HF_HUB_ENABLE_HF_TRANSFER="1")
    assert "set HF_HUB_ENABLE_HF_TRANSFER=0 for plain HTTP" in answer["error"]


@pytest.mark.parametrize("error", [RuntimeError("CAS failed"), ValueError("no token")])
def test_xets_own_errors_are_one_sentence(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(UserError, match=f"{error}.* set HF_HUB_DISABLE_XET=1 for plain HTTP"):
        hub_client.fetch_from_hub("Org/loose", None, "Org/loose")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with pytest.raises(type(error), match=str(error)):  # a fault of ours, to be seen
        hub_client.fetch_from_hub("Org/loose", None, "Org/loose")


@pytest.mark.parametrize("is_cut", [False, True])
def test_errors_of_httpx_which_later_clients_use(is_cut, monkeypatch):
    httpx = types.ModuleType("httpx")
    httpx.HTTPError = type("HTTPError", (Exception,), {})
    httpx.RemoteProtocolError = type("RemoteProtocolError", (httpx.HTTPError,), {})
    attempts: list[str] = []

    def fail(name, *_, **__):
        attempts.append(name)
        raise (httpx.RemoteProtocolError if is_cut else httpx.HTTPError)("peer closed")

    monkeypatch.setitem(sys.modules, "httpx", httpx)
    monkeypatch.setattr(hub_client, "PAUSE_S", 0)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"failed \(peer closed\); check network"):
        hub_client.fetch_from_hub("Org/loose", None, "Org/loose")
    assert len(attempts) == (hub_client.ATTEMPTS if is_cut else 1)


class Proxy(BaseHTTPRequestHandler):
    """Forwards to the one server that there is, whichever host it is asked for."""

    hub: Hub
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path.split('?')[0]}")
        target = urlsplit(self.path)
        connection = http.client.HTTPConnection(urlsplit(self.hub.url).netloc)
        connection.request(self.command, f"{target.path}?{target.query}", headers=self.headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            self.send_header(key, value.replace(self.hub.url, "http://hub.invalid"))
        self.end_headers()
        self.wfile.write(answer.read())
        connection.close()

    do_HEAD = do_GET

    def log_message(self, *_) -> None:
        pass


def test_downloads_through_a_proxy(hub, ask):
    asked: list[str] = []
    with serve(type("BoundProxy", (Proxy,), {"hub": hub, "asked": asked})) as url:
        url_of_anywhere = "http://models.invalid/records/1/files/model.pth"
        own = {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": url}
        for answer in ask("Org/pinned", url_of_anywhere, **own):
            assert Path(answer["path"]).read_bytes() == CONTENT
    cdn = hub.url.replace("127.0.0.1", "localhost")
    assert asked == [
        f"HEAD http://hub.invalid/Org/pinned/resolve/{PINNED}/pytorch_model.bin",
        f"GET {cdn}/cdn/Org/pinned",
        f"GET {url_of_anywhere}",
    ]


def pack_model() -> bytes:
    """A small file of Asteroid's that states 8000 Hz, whatever it was trained at."""
    torch = pytest.importorskip("torch")
    model = import_asteroid("models").ConvTasNet(
        *(2,), n_filters=16, kernel_size=16, stride=8, n_blocks=2, n_repeats=1, bn_chan=8,
        hid_chan=8, skip_chan=8, mask_act="relu",
    )  # fmt: skip
    stream = io.BytesIO()
    torch.save(model.serialize(), stream)
    return stream.getvalue()


def test_downloaded_model_loads_and_separates_at_its_true_rate(hub, ask):
    hub.content = pack_model()
    hub.etag = hashlib.sha256(hub.content).hexdigest()
    (answer,) = ask("Org/loose", LOAD="1")
    assert Path(answer["path"]).read_bytes() == hub.content and answer["shape"] == [1, 2, 1600]
    assert answer["rate"] == 16000
    assert answer["notes"] == [
        "the file states 8000 Hz, the list of published models 16000 Hz, which is taken"
    ]


@pytest.mark.parametrize("pages", [1, checkpoint_sources.ATTEMPTS])
def test_login_page_in_place_of_the_hubs_file_leaves_nothing(pages, hub, ask):
    """The client took it for the file's beginning: the cache, Asteroid's too, had them joined."""
    hub.pages = pages
    (answer,) = ask("Org/pinned")
    if pages > 1:
        assert "run the same command to go on" in answer["error"]
        (answer,) = ask("Org/pinned")
    assert Path(answer["path"]).read_bytes() == CONTENT and set(hub.ranges) == {""}


def test_download_that_stays_cut_is_gone_on_with_by_the_next_call(hub, ask):
    hub.cuts, hub.cut_after = 99, 40_000
    message = ask("Org/pinned")[0]["error"]
    assert "failed" in message and "run the same command to go on" in message
    assert len(hub.ranges) == checkpoint_sources.ATTEMPTS
    hub.cuts = 0
    assert Path(ask("Org/pinned")[0]["path"]).read_bytes() == CONTENT
    (last,) = hub.ranges
    assert int(last.removeprefix("bytes=").rstrip("-")) >= 40_000
    assert hub.n_sent < len(CONTENT) - 40_000


REFUSED = {
    "Org/gone": "the Hub has no such model, or hides it",
    "Org/empty": "has no pytorch_model.bin",
    "Org/gated": "its owner must grant access",
    "Org/secret": "HF_TOKEN where it is private",
    "Org/pined": "did you mean Org/pinned?",
    "Org/loose@v9": "not the revision v9; leave @v9 out",
}


def test_refusals_are_one_sentence(ask):
    answers = ask(*REFUSED)
    for sentence, answer in zip(REFUSED.values(), answers, strict=True):
        assert sentence in answer["error"]


@pytest.mark.parametrize(
    ("name", "environment", "sentence"),
    [
        ("Org/secret", {"HF_TOKEN": "hf_bad"}, "the Hub refuses it (401); check the token"),
        ("Org/pinned", {"HF_HUB_OFFLINE": "1", "NO_CONNECTION": "1"},
         "not in the cache and HF_HUB_OFFLINE is set"),
        ("Org/pinned", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "the Hub cannot be reached"),
        ("Org/pinned", {"https_proxy": "http://127.0.0.1:9", "HF_ENDPOINT": "https://hub.invalid"},
         "check network, proxy and HF_ENDPOINT"),
    ],
)  # fmt: skip
def test_settings_of_the_client_count(name, environment, sentence, ask):
    assert sentence in ask(name, **environment)[0]["error"]


def test_private_model_with_a_good_token(ask):
    assert Path(ask("Org/secret", HF_TOKEN="hf_good")[0]["path"]).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 500])
def test_status_of_the_hub_is_named(status, hub, ask):
    hub.status = status
    assert str(status) in ask("Org/pinned")[0]["error"]


def test_wrong_bytes_are_refused_and_named(ask):
    wrong, short, other = ask("Org/wrong", "Org/short", "Org/wrong@v1")
    assert f"sha256 {'0' * 64} expected, got {SHA256}" in wrong["error"]
    assert "delete" in wrong["error"]
    assert f"12345 bytes expected, got {len(CONTENT)}" in short["error"]
    # another revision is not the published file, whose hash it need not have
    assert other["published"] == "Org/wrong@v1"


def test_bytes_that_differ_from_the_hubs_own_hash_are_refused(hub, ask):
    """Of a model without a published sha256: its cache names a large file by its sha256."""
    hub.content = CONTENT[:-1] + b"x"
    message = ask("Org/loose")[0]["error"]
    assert f"sha256 {SHA256} expected" in message
    Path(message.split("delete ")[1].split(" ")[0]).unlink()
    hub.content = CONTENT
    assert Path(ask("Org/loose")[0]["path"]).read_bytes() == CONTENT


def test_small_files_have_no_such_hash_and_it_is_said(hub, ask):
    hub.etag = "0123456789abcdef0123456789abcdef01234567"
    assert "not checked" in ask("Org/loose")[0]["notes"][0]


def test_what_asteroid_downloaded_is_found_in_its_cache(hub, ask, tmp_path):
    code = "from asteroid.utils.hub_utils import cached_download as get; print(get('Org/loose'))"
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    own["ASTEROID_CACHE"] = str(tmp_path / "asteroid")
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=True
    )
    found = ask("Org/loose")[0]["path"]
    assert found == done.stdout.split()[-1] and hub.n_sent == 0
    assert not (tmp_path / "hf" / "hub" / "models--Org--loose").exists()


def test_what_a_broken_download_left_does_not_hide_the_file_of_the_other_cache(hub, ask, tmp_path):
    """The folder was looked for in the Hub's cache, not the file."""
    (first,) = ask("Org/pinned", "Org/loose", HF_HUB_CACHE=str(tmp_path / "asteroid"))[:1]
    for name in ("pinned", "loose"):
        (tmp_path / "hf" / "hub" / f"models--Org--{name}" / "blobs").mkdir(parents=True)
    assert ask("Org/pinned") == [first] and not hub.log
    (loose,) = ask("Org/loose", HF_HUB_OFFLINE="1")
    assert Path(loose["path"]).is_relative_to(tmp_path / "asteroid") and not hub.log
    assert "not in the cache" in ask("Org/loose@v1", HF_HUB_OFFLINE="1")[0]["error"]


@pytest.fixture
def zenodo(hub, monkeypatch, tmp_path):
    """Zenodo's names lead to the loopback server; Asteroid's cache is the test's own."""
    cache = str(tmp_path / "asteroid")
    # first: Asteroid reads its variable at import, and keeps it for the tests that follow
    monkeypatch.setattr(import_asteroid("utils.hub_utils"), "CACHE_DIR", cache)
    monkeypatch.setenv("ASTEROID_CACHE", cache)
    monkeypatch.setattr(published_models, "ZENODO_URL", hub.url + "/record/{}/files/model.pth?d=1")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return hub


COSENTINO = "Cosentino/ConvTasNet_LibriMix_sep_clean"


def test_zenodo_name_goes_where_asteroid_keeps_it(zenodo):
    source = checkpoint_sources.find_checkpoint(COSENTINO)
    assert source.path.read_bytes() == CONTENT
    assert source.published.zenodo == "3873572" and "not checked" in source.notes[0]
    assert [path for _, path, _ in zenodo.log] == [
        "/record/3873572/files/model.pth",
        "/records/3873572/files/model.pth",
    ]
    zenodo.log.clear()
    theirs = import_asteroid("utils.hub_utils").cached_download(source.published.url)
    assert Path(theirs) == source.path
    again = checkpoint_sources.find_checkpoint(source.published.url)
    assert again.path == source.path and not zenodo.log


def test_zenodo_download_that_is_cut_goes_on(zenodo):
    zenodo.cuts, zenodo.cut_after = 2, 70_000
    assert checkpoint_sources.find_checkpoint(COSENTINO).path.read_bytes() == CONTENT
    bodies = [asked for _, path, asked in zenodo.log if path.startswith("/records/")]
    assert bodies == ["", "bytes=70000-", "bytes=140000-"]


def cut_call(zenodo, monkeypatch) -> None:
    """A call that ends after 70,000 bytes."""
    zenodo.cuts, zenodo.cut_after, zenodo.mark = 1, 70_000, '"v1"'
    with monkeypatch.context() as patch, pytest.raises(UserError, match="to go on"):
        patch.setattr(checkpoint_sources, "ATTEMPTS", 1)
        checkpoint_sources.find_checkpoint(COSENTINO)
    zenodo.log.clear()
    zenodo.n_sent = 0


def test_zenodo_download_is_gone_on_with_by_a_later_call(zenodo, monkeypatch):
    cut_call(zenodo, monkeypatch)
    assert checkpoint_sources.find_checkpoint(COSENTINO).path.read_bytes() == CONTENT
    assert zenodo.log[-1][2] == "bytes=70000-" and zenodo.n_sent == len(CONTENT) - 70_000


def test_zenodo_file_whose_etag_changes_between_calls_is_fetched_anew(zenodo, monkeypatch):
    """The old beginning and the new end were joined, for Asteroid too, and for ever."""
    cut_call(zenodo, monkeypatch)
    zenodo.content, zenodo.mark = b"\x80" + CONTENT[::-1], '"v2"'
    assert checkpoint_sources.find_checkpoint(COSENTINO).path.read_bytes() == zenodo.content
    assert zenodo.n_sent == len(zenodo.content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "not a checkpoint but a web page"),
        (b"PK\3\4" + bytes(1000), "not a checkpoint but the beginning of one"),
        (b"", "not a checkpoint but an empty file"),
        (b"{}", "it is no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_does_not_stay_in_asteroids_cache(content, sentence, zenodo):
    zenodo.content = content
    with pytest.raises(UserError, match=sentence) as caught:
        checkpoint_sources.find_checkpoint(COSENTINO)
    assert "so it was removed" in str(caught.value) and "\n" not in str(caught.value)
    zenodo.content = CONTENT
    assert checkpoint_sources.find_checkpoint(COSENTINO).path.read_bytes() == CONTENT


def test_zenodo_offline_takes_what_is_cached_without_a_connection(zenodo, monkeypatch):
    cached = checkpoint_sources.find_checkpoint(COSENTINO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    zenodo.log.clear()
    assert checkpoint_sources.find_checkpoint(COSENTINO) == cached
    cached.path.write_bytes(b"<html>")  # what an earlier program left: the reader names it
    assert checkpoint_sources.find_checkpoint(COSENTINO).path == cached.path and not zenodo.log


@pytest.mark.parametrize("name", [COSENTINO, "mpariente/DPRNNTasNet(ks=16)_WHAM!_sepclean"])
def test_zenodo_has_no_revisions(name, zenodo):
    """The one that was asked for was left out in silence."""
    with pytest.raises(UserError, match="a file on Zenodo has no revisions; write") as caught:
        checkpoint_sources.find_checkpoint(f"{name}@v1")
    assert name in str(caught.value) and not zenodo.log


def test_cache_that_cannot_be_written_is_one_sentence(zenodo, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written .* ASTEROID_CACHE"):
        checkpoint_sources.find_checkpoint(COSENTINO)


def test_url_of_anywhere(zenodo):
    url = f"{zenodo.url}/records/1/files/model.pth"
    source = checkpoint_sources.find_checkpoint(url)
    assert source.published is None and source.path.read_bytes() == CONTENT
    assert source.path.parent.name == hashlib.sha256(url.encode()).hexdigest()


@pytest.mark.parametrize(
    ("status", "offline", "sentence"),
    [
        (401, False, "answered 401"),
        (404, False, "answered 404"),
        (503, False, "answered 503"),
        (0, True, "HF_HUB_OFFLINE"),
    ],
)
def test_zenodo_refusals_are_one_sentence(status, offline, sentence, zenodo, monkeypatch):
    zenodo.status = status
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    with pytest.raises(UserError, match=sentence) as caught:
        checkpoint_sources.find_checkpoint(COSENTINO)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and "--corpus" not in message


def test_full_disk_names_the_cache_to_move(zenodo, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_write_body", refuse)
    with pytest.raises(UserError, match=r"the disk is full; .* ASTEROID_CACHE"):
        checkpoint_sources.find_checkpoint(COSENTINO)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(UserError, match="is full; make room, or set HF_HOME"):
        checkpoint_sources.find_checkpoint("JorisCos/ConvTasNet_Libri2Mix_sepclean_8k")
