"""The page itself, in Gradio: on the loopback address, without a network, nothing kept.

Files of visitors lie in a folder that goes with the command. Uploads and tracks are removed when
their page is closed, and after ``KEPT_S`` at the latest.
"""

import contextlib
import html
import importlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from separation.demo.separating import MOST_VOICES, Limits, Models, separate_upload
from separation.errors import UserError
from separation.text import explain_error

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
KEPT_S, LOOKED_EVERY_S = 900, 60
FONTS = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")  # the browser's: none is fetched
CSS = """
:root:not(.dark) { --neutral-400: #525252 }
/* a player's waveform is 20 pixels a second wide, and would make a phone's page as wide */
.gradio-container { max-width: min(1100px, 100vw) !important; margin: 0 auto !important }
.message p { border-left: 4px solid #d97706; padding: .4rem .8rem; margin: 0 }
.report iframe { width: 100%; height: 80vh; border: 0; margin-top: .5rem }
.voices { width: 100%; border-collapse: collapse; margin: .5rem 0 }
.voices th, .voices td { text-align: left; padding: .2rem .6rem }
"""
INTRODUCTION = """# Separate a recording
Drop a recording of two people who talk at once, or record one. Each voice comes out as a track of
its own. Everything happens on this machine; files are removed when you close the page."""

LEARNS = (
    "Better for a conversation in turns of half a minute and more. The shipped model takes "
    "two to four minutes for it, larger ones many."
)


def find_gradio() -> Any:
    """Gradio, told to send nothing anywhere.

    Raises:
        UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        raise UserError(
            "the page needs gradio, which is not installed: "
            f"`{sys.executable} -m pip install -r requirements-demo.txt`."
        ) from error


class Visits:
    """Separates what visitors bring, and removes it.

    Args:
        models: to choose from.
        limits: of uploads.
        work: folder of what is being separated.
        kept: folder of uploads, and of the framework's copies of tracks.
    """

    def __init__(self, models: Models, limits: Limits, work: Path, kept: Path) -> None:
        self.models, self.limits, self.work, self.kept = models, limits, work, kept
        self.files: dict[str, set[str]] = defaultdict(set)  # names of a visitor's files

    def separate(
        self, path: str | None, model: str, learns: bool, session: str
    ) -> Iterator[tuple[Any, ...]]:
        """Yield once: the message, :data:`MOST_VOICES` tracks or None, and the summary.

        Args:
            path: of the upload; None: there is none.
            model: one of the page's names.
            learns: whether the model learns the voices of a conversation first.
            session: of the visitor.
        """
        nothing = (None,) * MOST_VOICES
        if not path:
            yield show_message("There is no recording yet; drop one, or record one."), *nothing, ""
            return
        self.files[session].add(Path(path).name)
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            try:
                outcome = separate_upload(
                    self.models, model, Path(path), Path(folder), self.limits, learns=learns
                )
            except (UserError, OSError, RuntimeError, MemoryError) as error:
                logger.warning("%s: %s", Path(path).name, explain_error(error))
                yield show_message(explain_error(error)), *nothing, ""
                return
            self.files[session].update(track.name for track in outcome.tracks)
            tracks = [*map(str, outcome.tracks), *nothing][:MOST_VOICES]
            shown = outcome.summary + frame_report(outcome.report)
            yield "", *tracks, shown  # the framework copies them, then the folder goes

    def forget(self, session: str) -> None:
        """Remove a visitor's files, but those of the same name that another one has too."""
        names = self.files.pop(session, set()).difference(*self.files.values())
        for copied in self.kept.glob("*/*"):
            if copied.name in names:
                copied.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # of another visitor's, not empty
                    copied.parent.rmdir()


def show_message(text: str) -> str:
    """A sentence for the visitor, as HTML."""
    return f"<p role='alert'>{html.escape(text)}</p>"


def frame_report(page: str) -> str:
    """A page within the page, whose scripts reach nothing outside of it."""
    return (
        "<details class='report' open><summary>Report on the recording</summary>"
        f"<iframe title='Report' sandbox='allow-scripts' srcdoc='{html.escape(page)}'></iframe>"
        "</details>"
    )


def build_page(visits: Visits) -> Any:
    """The page: a recording and a model to the left, voices to the right, the rest below."""
    gradio = find_gradio()
    with gradio.Blocks(
        title="Separate a recording",
        analytics_enabled=False,
        delete_cache=(LOOKED_EVERY_S, KEPT_S),
    ) as page:
        gradio.Markdown(INTRODUCTION)
        with gradio.Row():
            with gradio.Column():
                given = _place_inputs(gradio, visits)
                button = gradio.Button("Separate", variant="primary")
            with gradio.Column():
                shown = _place_outputs(gradio)
        shown.append(gradio.HTML())
        separate, forget = _make_handlers(gradio, visits)
        button.click(
            separate,
            given,
            shown,
            concurrency_limit=1,
            api_visibility="private",
            show_progress_on=shown[-1],
        )
        page.unload(forget)
    return page


def _place_inputs(gradio: Any, visits: Visits) -> list[Any]:
    recording = gradio.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label=f"Recording, at most {visits.limits.longest_s:g} s",
        buttons=["download"],  # without the one that shares it on the network
    )
    names = visits.models.names
    model = gradio.Dropdown(choices=names, value=names[0], label="Model")
    learns = gradio.Checkbox(label="Learn the voices first", info=LEARNS)
    return [recording, model, learns]


def _place_outputs(gradio: Any) -> list[Any]:
    voices = range(1, MOST_VOICES + 1)
    return [
        gradio.HTML(elem_classes="message"),
        *(
            gradio.Audio(label=f"Voice {k}", visible=False, interactive=False, buttons=["download"])
            for k in voices
        ),
    ]


def _make_handlers(gradio: Any, visits: Visits) -> tuple[Callable, Callable]:
    """What a click calls, and what the end of a visit does."""

    def separate(
        path: str | None,
        name: str,
        learns: bool,
        request: gradio.Request,  # type: ignore[name-defined]
        bars: Any = gradio.Progress(track_tqdm=True),  # noqa: B008, so the framework finds it
    ) -> Iterator[Any]:
        session = request.session_hash or ""
        for said, *tracks, about in visits.separate(path, name, learns, session):
            shown = [gradio.update(value=own, visible=own is not None) for own in tracks]
            yield said, *shown, about

    def forget(request: gradio.Request) -> None:  # type: ignore[name-defined]
        visits.forget(request.session_hash or "")

    return separate, forget


def start(models: Models, limits: Limits, folder: Path, *, port: int, waiting: int) -> Any:
    """Serve in the background; returns the page, whose ``local_url`` is where it is.

    Args:
        models: to choose from.
        limits: of uploads.
        folder: of visitors' files.
        port: of the loopback address; 0: any.
        waiting: recordings that may wait.

    Raises:
        UserError: the port is taken.
    """
    work, kept = folder / "work", folder / "kept"
    work.mkdir()
    os.environ["GRADIO_TEMP_DIR"] = str(kept)
    gradio = find_gradio()
    page = build_page(Visits(models, limits, work, kept)).queue(max_size=waiting)
    theme = gradio.themes.Default(font=list(FONTS[0]), font_mono=list(FONTS[1]))
    try:
        page.launch(
            server_name=ADDRESS,
            server_port=port or None,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=limits.largest_mb * 1_000_000,
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            theme=theme,
            css=CSS,
        )
    except OSError as error:
        raise UserError(f"--port {port}: is taken; choose another.") from error
    return page


def serve(models: Models, limits: Limits, *, port: int, waiting: int) -> None:
    """Serve until Ctrl-C or a polite kill; arguments as of :func:`start`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    warnings.filterwarnings("ignore", module="gradio")  # of its own dependencies' old names
    folder = Path(tempfile.mkdtemp(prefix="separation-demo-"))
    try:
        page = start(models, limits, folder, port=port, waiting=waiting)
        print(
            f"http://{ADDRESS}:{page.server_port} (this machine only; Ctrl-C ends it)", flush=True
        )
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
