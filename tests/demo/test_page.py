"""The page of ``demo`` in headless Chromium: two visitors at once, and nothing kept after them."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from separation.demo import page as demo_page
from separation.demo.separating import Limits, Models
from separation.errors import UserError
from separation.models import shipped
from tests.conftest import make_voice

pytest.importorskip("gradio", reason="pip install -r requirements-demo.txt")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
FLAGS += ["--disable-component-update", "--no-first-run", "--mute-audio"]
REMEMBER_PLAYED = """window.played = [];
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () { window.played.push(this); return play.call(this); };
"""
PATIENCE_MS = 300_000  # of a machine that has much else to do


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Any]:
    models = Models([shipped.NAME], torch.device("cpu"))
    served = demo_page.start(
        models, Limits(longest_s=70.0, largest_mb=2), folder, port=0, waiting=5
    )
    yield served
    served.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def recordings(tmp_path: Path) -> dict[str, Path]:
    lengths = {"call": 3.0, "other": 2.5, "wide": 60.0, "long": 71.0}
    paths = {name: tmp_path / f"{name}.wav" for name in (*lengths, "text")}
    for number, (name, seconds) in enumerate(lengths.items()):
        voices = make_voice(number, 110, seconds, 8000), make_voice(9 + number, 200, seconds, 8000)
        soundfile.write(paths[name], sum(voices), 8000)
    paths["text"].write_text("no audio at all")
    return paths


class Visitor:
    """A browser's page, and everything that went wrong or elsewhere in it."""

    def __init__(self, browser: Any, url: str, width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page, self.faults, self.elsewhere = self.context.new_page(), [], []
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(REMEMBER_PLAYED)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._watch)
        self.page.goto(url)
        self.page.get_by_role("button", name="Separate").wait_for()

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((f"http://{demo_page.ADDRESS}:", "blob:", "data:")):
            self.elsewhere.append(request.url)

    def bring(self, path: Path) -> None:
        self.page.set_input_files("input[type=file]", path)
        self.page.get_by_label("Play", exact=True).first.wait_for()
        self.page.get_by_role("button", name="Separate").click()


def wait_until(is_true: Any) -> bool:
    """Whether it became true within the patience."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not is_true() and time.monotonic() < end:
        time.sleep(0.1)
    return is_true()


def test_two_visitors_at_once_hear_their_voices_and_leave_nothing(
    served: Any, browser: Any, recordings: dict[str, Path], folder: Path
) -> None:
    visitors = [Visitor(browser, served.local_url) for _ in range(2)]
    for visitor, name in zip(visitors, ("call", "other"), strict=True):
        visitor.bring(recordings[name])
    for visitor, duration in zip(visitors, (3.0, 2.5), strict=True):
        visitor.page.locator("table.voices").wait_for()
        assert (
            f"for {duration} s of audio"
            in visitor.page.locator("table.voices ~ p").last.inner_text()
        )
        players = visitor.page.get_by_label("Play", exact=True)
        players.nth(2).wait_for()
        for _ in range(3):  # the recording and two voices; the label of one that plays is Pause
            players.first.click()
            visitor.page.wait_for_function("window.played.at(-1)?.currentTime > 0.2")
        heard = visitor.page.evaluate("window.played.map((own) => own.duration)")
        assert len(heard) == 3 and all(abs(own - duration) < 0.1 for own in heard)
        assert visitor.faults == [] and visitor.elsewhere == []
    assert len(list((folder / "kept").glob("*/*.wav"))) == 6
    assert not list((folder / "work").iterdir())
    for visitor in visitors:
        visitor.context.close()
    assert wait_until(lambda: not list((folder / "kept").glob("*/*.wav")))


def test_on_a_phone_the_waveform_of_a_minute_does_not_widen_the_page(
    served: Any, browser: Any, recordings: dict[str, Path]
) -> None:
    visitor = Visitor(browser, served.local_url, width=400)
    visitor.bring(recordings["wide"])
    visitor.page.locator("table.voices").wait_for()
    visitor.page.get_by_label("Play", exact=True).nth(2).wait_for()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 400
    visitor.context.close()


@pytest.mark.parametrize(("name", "message"), [("long", "is 71 s long; 70 s"), ("text", "decoded")])
def test_a_file_that_cannot_be_used_is_one_sentence(
    served: Any, browser: Any, recordings: dict[str, Path], name: str, message: str
) -> None:
    visitor = Visitor(browser, served.local_url)
    visitor.page.set_input_files("input[type=file]", recordings[name])
    visitor.page.wait_for_function("document.querySelector('[aria-label=Clear]') !== null")
    visitor.page.get_by_role("button", name="Separate").click()
    said = visitor.page.get_by_role("alert").first
    said.wait_for()
    assert message in said.inner_text() and str(Path.home()) not in said.inner_text()
    assert visitor.page.locator("table.voices").count() == 0
    visitor.context.close()


def test_the_page_is_on_the_loopback_address_only(served: Any) -> None:
    assert served.local_url.startswith(f"http://{demo_page.ADDRESS}:")
    assert not served.share and not served.analytics_enabled
    with socket.create_connection((demo_page.ADDRESS, served.server_port), 5):
        pass
    with (
        pytest.raises(OSError, match=r".*"),
        socket.create_connection(("127.0.0.2", served.server_port), 5),
    ):
        pass


def test_a_taken_port_is_one_sentence(served: Any, folder: Path, tmp_path: Path) -> None:
    models = Models([shipped.NAME], torch.device("cpu"))
    with pytest.raises(UserError, match="is taken; choose another"):
        demo_page.start(
            models,
            Limits(longest_s=5.0, largest_mb=1),
            tmp_path,
            port=served.server_port,
            waiting=5,
        )
