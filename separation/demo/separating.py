"""One visitor's recording: looked at, separated, and what is said of it; no framework in here."""

import functools
import html
import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from separation.errors import UserError
from separation.models import shipped
from separation.models.checkpoint.load import LoadedModel, open_model
from separation.models.published import find_cached, read_published
from separation.recordings.decode import open_audio
from separation.recordings.files import separate_files
from separation.recordings.job import Settings
from separation.recordings.record import read_record

logger = logging.getLogger(__name__)

LANGUAGE = "en"  # of reports
MOST_VOICES = 4  # players of the page


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the page takes.

    Attributes:
        longest_s: seconds of a recording.
        largest_mb: megabytes of its file.
    """

    longest_s: float
    largest_mb: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A recording that was separated.

    Attributes:
        tracks: WAV files, one a voice.
        summary: HTML: who speaks how long, and what looks wrong.
        report: a whole page of HTML on the recording, as ``separate --report`` writes it.
    """

    tracks: list[Path]
    summary: str
    report: str


class Models:
    """Models by the names that a visitor chooses from, each loaded when it is first asked for."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names, self.device = list(dict.fromkeys(names)), device
        self.open = functools.cache(self._open)

    def _open(self, name: str) -> LoadedModel:
        if name not in self.names:
            raise UserError(f"{name}: is no model of this page; choose one of the list.")
        loaded = open_model(name)
        if loaded.n_src > MOST_VOICES:
            raise UserError(f"{name}: has {loaded.n_src} outputs; the page shows {MOST_VOICES}.")
        loaded.model.to(self.device)
        return loaded


def open_models(named: Sequence[str], device: torch.device) -> Models:
    """The shipped model, those that were named, and the published ones that are cached here.

    Raises:
        UserError: one that was named cannot be used.
    """
    cached = [entry.name for entry in read_published() if find_cached(entry)]
    models = Models([*named, shipped.NAME, *cached], device)
    for name in named:
        try:
            models.open(name)
        except UserError as error:
            raise UserError(f"--model {error}") from error
    return models


def check_upload(path: Path, name: str, limits: Limits) -> None:
    """Refuse what is too large, too long, or no audio.

    Raises:
        UserError: one sentence for the visitor, with the file's name.
    """
    size_mb = path.stat().st_size / 1e6
    if size_mb > limits.largest_mb:
        raise UserError(
            f"{name}: has {size_mb:.0f} MB; {limits.largest_mb} MB are the most here. Cut it, or "
            "use the command separate, which has no limit."
        )
    with tempfile.TemporaryDirectory() as folder, open_audio(path, Path(folder)) as file:
        seconds = file.frames / file.samplerate
    if seconds > limits.longest_s:
        raise UserError(
            f"{name}: is {seconds:.0f} s long; {limits.longest_s:g} s are the most here. Cut it, "
            "or use the command separate, which has no limit."
        )


def separate_upload(
    models: Models, model: str, path: Path, out: Path, limits: Limits, *, learns: bool = False
) -> Outcome:
    """Separate one recording into a folder.

    Args:
        models: of the page.
        model: one of their names.
        path: of the recording.
        out: folder of the tracks, the visitor's own.
        limits: of the page.
        learns: whether the model learns the voices of a conversation first, while others wait.

    Raises:
        UserError: one sentence for the visitor, which names the file as he knows it.
    """
    copied = out / "upload" / path.name
    try:
        check_upload(path, path.name, limits)
        loaded = models.open(model)
        copied.parent.mkdir(parents=True)
        shutil.copyfile(path, copied)  # another visitor's upload of the same file replaces it
        settings = Settings(
            model=loaded.model,
            device=models.device,
            out=out,
            adapt="on" if learns else "off",
            about=shipped.describe_named(model),
            report=LANGUAGE,
        )
        written = separate_files(settings, [copied])
    except UserError as error:
        said = str(error).replace(str(copied), path.name).replace(str(path), path.name)
        raise UserError(said) from error
    *tracks, page = written
    record = read_record(page.with_suffix(".json"))
    return Outcome(
        tracks=tracks,
        summary=summarise(record.measured if record else {}),
        report=page.read_text(encoding="utf-8"),
    )


def summarise(measured: dict[str, Any]) -> str:
    """HTML of what ``separate`` measured: a row a voice, and its remarks."""
    rows = "".join(
        f"<tr><th scope='row'>Voice {number}</th><td>{voice['speech_s']:.1f} s</td>"
        f"<td>{voice['n_turns']}</td><td>{voice['level_db']:.1f} dB</td></tr>"
        for number, voice in enumerate(measured.get("voices", ()), 1)
    )
    remarks = "".join(f"<li>{html.escape(text)}</li>" for text in measured.get("remarks", ()))
    said = f"<ul>{remarks}</ul>" if remarks else ""
    head = (
        "<th></th><th scope='col'>speaks</th><th scope='col'>turns</th><th scope='col'>level</th>"
    )
    return (
        f"<table class='voices'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{said}"
        f"<p>Model: {html.escape(str(measured.get('model', '')))}. "
        f"{measured.get('seconds_taken', 0):.1f} s for {measured.get('duration_s', 0):.1f} s of "
        "audio.</p>"
    )
