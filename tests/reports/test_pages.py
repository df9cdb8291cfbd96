"""The pages in headless Chromium: nothing fails, players switch in place, tables sort, keys do."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from separation.compare.report import write_comparison
from separation.diagnosis.finding import (
    Change,
    Diagnosis,
    Evidence,
    Finding,
    Plot,
    Series,
    Worth,
)
from separation.mixtures.signals import Mixture
from separation.reports import training_report
from tests.compare.test_comparison_report import compare, make_models, make_set, mix
from tests.reports.test_sanity import make_experiment
from tests.reports.test_training_report import Mixtures, make_report, prepare

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
FLAGS += ["--disable-component-update", "--no-first-run", "--mute-audio"]
SIZES = {"phone": (400, 800), "desktop": (1280, 800)}
MOST_BYTES = 3_000_000
# Text on the page whose contrast with what lies behind it is below WCAG's 4.5 to 1.
FAINT = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, k) => {
    const value = rgb[k] / 255;
    return sum + weight * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.9) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [], tags = "h1,h2,h3,p,li,td,th,code,summary,a,button,label,span,text,small";
  for (const node of document.querySelectorAll(tags)) {
    if (![...node.childNodes].some((own) => own.nodeType === 3 && own.data.trim())) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.tagName === "text" ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(node.outerHTML.slice(0, 90));
  }
  return faint;
}"""
SMALLEST_PX = """() => Math.min(...[...document.querySelectorAll("p,li,td,button,summary")]
  .map((node) => parseFloat(getComputedStyle(node).fontSize)))"""
PLAYING = "[...document.querySelectorAll('audio')].filter((own) => !own.paused).length"
NAMELESS = """() => [...document.querySelectorAll("button,input,img,svg[role],audio,[role=group]")]
  .filter((node) => !(node.getAttribute("aria-label") || node.alt || node.textContent.trim()
    || node.closest("label")))
  .map((node) => node.outerHTML.slice(0, 90))"""


def make_diagnosis() -> Diagnosis:
    """Four findings, the first with plots of both kinds."""
    lines = Plot(
        title="Training and dev",
        x_label="minutes",
        y_label="SI-SDR (dB)",
        series=(Series("training", ((1, 2), (10, 22))), Series("dev", ((1, 2), (10, 4.7)))),
        x_log=True,
    )
    bars = Plot(
        title="Hours",
        x_label="set",
        y_label="h",
        kind="bars",
        series=(Series("this run", ((0, 0.4),)), Series("WSJ0-2mix", ((1, 30.4),))),
    )
    evidence = (
        Evidence(label="gap", value="17.3 dB", plot=lines),
        Evidence(label="hours", value="0.4 h", plot=bars),
    )
    change = Change(
        text="Mix anew for every step.",
        keys=(("training.dynamic_mixing", "true"),),
        command="bash run.sh --set training.dynamic_mixing=true",
    )
    worth = Worth(low_db=1.2, high_db=3.0, source="the ladder", measured=True)
    return Diagnosis(
        experiment="exp/folder/ConvTasNet/default",
        findings=tuple(
            Finding(
                code=f"cause_{k}",
                kind="limit",
                title=f"Cause number {k} of a low score",
                explanation="The same mixtures in every epoch.",
                evidence=evidence,
                change=change,
                worth=worth,
            )
            for k in range(4)
        ),
        facts=evidence,
    )


class LongMixtures(Mixtures):
    """Eight seconds, so that a player can be seen playing."""

    def __getitem__(self, index: int) -> Mixture:
        time = np.arange(64000) / 8000
        tones = np.stack([np.sin(2000 * time), np.sin(3000 * time)])
        sources = tones.astype(np.float32) / 4
        mixture, row = sources.sum(axis=0), self.rows[index]
        return Mixture(row=row, sample_rate=8000, mixture=mixture, sources=sources)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """One page of a training and one of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        experiment = prepare(make_experiment(folder), patch)
        patch.setattr(training_report, "open_split", lambda *_: LongMixtures())
        (folder / "report.html").write_text(
            make_report(experiment, diagnosis=make_diagnosis()).format()
        )
    comparison = compare([make_set("one"), make_set("two")], make_models("A", "B"))
    sources = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32) / 10
    write_comparison(folder, comparison, lambda *names: mix(names[2], sources), n_worst=1)
    return {"training": folder / "report.html", "comparison": folder / "comparison.html"}


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=120_000)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def opened(browser, pages) -> Iterator["sync_api.Page"]:
    """The page of a training on a desktop, without errors up to the end of the module."""
    page, errors = open_page(browser, pages["training"], "desktop", "light")
    yield page
    assert errors == []


def open_page(browser, path: Path, size: str, scheme: str) -> tuple["sync_api.Page", list[str]]:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    context.set_default_timeout(120_000)  # ms: a machine may be busy
    page, errors = context.new_page(), []
    page.on("console", lambda own: errors.append(own.text) if own.type == "error" else None)
    page.on("pageerror", lambda own: errors.append(str(own)))
    page.on("request", lambda own: errors.append(own.url) if own.url[:4] == "http" else None)
    page.goto(path.as_uri())
    return page, errors


@pytest.mark.parametrize("name", ["training", "comparison"])
@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_page_fits_and_can_be_read(browser, pages, name, size, scheme):
    page, errors = open_page(browser, pages[name], size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
    assert page.locator("h1").count() == 1 and page.evaluate(NAMELESS) == []
    assert page.evaluate(FAINT) == []
    (dark,) = page.evaluate("[getComputedStyle(document.body).backgroundColor < 'rgb(2']")
    assert dark == (scheme == "dark")
    assert page.evaluate(SMALLEST_PX) >= 12
    assert errors == [] and pages[name].stat().st_size < MOST_BYTES
    page.context.close()


@pytest.mark.parametrize("size", SIZES)
def test_first_screen_says_what_to_do_next(browser, pages, size):
    page, _ = open_page(browser, pages["training"], size, "light")
    boxes = [page.locator(f".first {kind}").first.bounding_box() for kind in (".big", ".gauge")]
    boxes += [own.bounding_box() for own in page.locator(".first .finding").all()]
    assert len(boxes) == 2 + 3
    assert all(box["y"] + box["height"] <= SIZES[size][1] for box in boxes), boxes
    page.context.close()


def test_signals_play_and_switch_at_one_position(opened):
    player = opened.locator(".player").first
    button, radios = player.locator("button.play"), player.locator("input[type=radio]")
    audio = "(n) => [...document.querySelectorAll('.player')[0].querySelectorAll('audio')][n]"
    button.click()
    opened.wait_for_function(f"({audio})(0).currentTime > 0.2")
    assert button.get_attribute("aria-label") == "pause"
    radios.nth(0).focus()
    opened.keyboard.press("ArrowRight")
    assert radios.nth(1).is_checked()
    opened.wait_for_function(f"!({audio})(1).paused && ({audio})(1).currentTime > 0.2")
    assert opened.evaluate(f"({audio})(0).paused")
    button.click()
    slider = player.locator("input[type=range]")
    at = float(slider.input_value())
    slider.focus()
    opened.keyboard.press("ArrowRight")
    assert float(slider.input_value()) > at
    assert opened.evaluate(f"({audio})(1).currentTime") == pytest.approx(
        float(slider.input_value()), abs=0.02
    )
    opened.locator(".player").nth(1).locator("button.play").click()
    assert opened.evaluate(PLAYING) == 1


def test_tables_sort_by_mouse_and_key(browser, pages):
    page, errors = open_page(browser, pages["comparison"], "desktop", "light")
    table = page.locator("table.sorts").first
    read = "(table) => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent)"
    before = table.evaluate(read)
    button = table.locator("thead button").nth(1)
    button.click()
    descending = table.evaluate(read)
    numbers = [float(text.split()[0]) for text in descending]
    assert numbers == sorted(numbers, reverse=True) and descending != before
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert table.evaluate(read) == descending[::-1] and errors == []
    page.context.close()


def test_a_findings_button_opens_its_evidence(opened):
    evidence = opened.locator("#evidence-cause_1")
    assert evidence.get_attribute("open") is None
    opened.locator(".first .finding a.button").nth(1).press("Enter")
    assert evidence.get_attribute("open") is not None
    assert evidence.locator("svg").count() >= 1 and evidence.locator("pre").is_visible()
    assert opened.evaluate("document.activeElement.tagName") == "SUMMARY"
