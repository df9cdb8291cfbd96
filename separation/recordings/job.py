"""One recording, or one channel of it: decoded, separated, measured and written."""

import dataclasses
import functools
import hashlib
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from separation.errors import UserError
from separation.files import hash_value, read_json, write_json, write_text
from separation.recordings.activity import format_rttm
from separation.recordings.adaptation import allows_adaptation
from separation.recordings.arrangement import (
    Arrangement,
    choose_mode,
    explain_mode,
    plan_tracks,
    separate_planned,
)
from separation.recordings.chunks import StoredEstimates
from separation.recordings.decode import Level, open_audio, store_channel
from separation.recordings.measured import Measured, list_remarks, measure_voices, round_db
from separation.recordings.record import (
    Record,
    Stamp,
    format_record,
    is_as_written,
    read_record,
    stamp_output,
    stamp_recording,
)
from separation.recordings.speech_networks import RATE as WIDE_RATE
from separation.recordings.tracks import BYTES, write_tracks
from separation.recordings.waveform import describe_resampling

logger = logging.getLogger(__name__)

WIDE = "wide.f32"  # the recording at 16 kHz, for the networks that know voices


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How recordings are separated.

    Attributes:
        model: in evaluation mode, with a ``sample_rate`` in Hz.
        device: that it is on.
        out: folder of the tracks.
        channel: ``mean``, ``first``, ``each``, or a number from 1.
        bits: ``16``, ``24`` or ``float``.
        mode: of :data:`separation.recordings.inputs.MODES`.
        adapt: of :data:`separation.recordings.inputs.ADAPT`.
        about: what is said of the model, in one line.
        block_s: seconds of a block where recordings are streamed; 0: they are not.
        report: language of a page on each recording; empty: none.
        spoken: code of the language of the recordings, for the page; empty: it is not said.
    """

    model: nn.Module
    device: torch.device
    out: Path
    channel: str = "mean"
    bits: str = "16"
    mode: str = "auto"
    adapt: str = "auto"
    about: str = ""
    block_s: float = 0.0
    report: str = ""
    spoken: str = ""

    @property
    def rate(self) -> int:
        """Hz, of the model."""
        return int(self.model.sample_rate)  # type: ignore[arg-type]

    @property
    def n_src(self) -> int:
        """Outputs of the model."""
        return int(getattr(self.model, "n_src", 2))

    @functools.cached_property
    def way(self) -> str:
        """The mode that is possible with this model, and what is installed here."""
        if self.block_s:
            return "stream"
        reason = explain_mode(self.mode, self.n_src)
        if reason:
            logger.warning("--mode %s: %s", self.mode, reason)
        return choose_mode(self.mode, self.n_src)

    @functools.cached_property
    def adapts(self) -> bool:
        """Whether the model learns the voices of conversations, see :mod:`.adaptation`.

        Raises:
            UserError: that is asked for, of a model without weights here (an ONNX file).
        """
        if self.way in ("overlap", "stream") or self.adapt == "off":
            return False
        if self.adapt == "on" and not any(True for _ in self.model.parameters()):
            raise UserError(
                "--adapt on: the model is an ONNX file, which cannot be trained; give the "
                "checkpoint that it was exported from, or leave --adapt out."
            )
        return self.adapt == "on" or allows_adaptation(self.model, self.device)

    def describe(self) -> dict[str, str]:
        """What the tracks depend on beside the recording."""
        return {
            "model": fingerprint_model(self.model),
            "channel": self.channel,
            "bits": self.bits,
            "mode": self.way,
            "adapt": "on" if self.adapts else "off",
        }


def fingerprint_model(model: nn.Module) -> str:
    """sha256 of a model's class, rate and weights, hex; the same for a file and its copy."""
    digest = hashlib.sha256(f"{type(model).__name__} {model.sample_rate}".encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A recording that was decoded.

    Attributes:
        level: of the channel that is separated.
        n_channels: of the file.
    """

    level: Level
    n_channels: int


@dataclass(frozen=True, kw_only=True)
class Separated:
    """A recording that went through the model.

    Attributes:
        heard: its level and channels.
        stored: the estimates, on disk.
        arranged: the tracks that are made of them, and who speaks when.
    """

    heard: Heard
    stored: StoredEstimates
    arranged: Arrangement


def separate_stored(
    settings: Settings, path: Path, channel: str, work: Path, label: str
) -> Separated:
    """Separate a recording on disk, or go on with it where the folder holds what was done.

    Args:
        settings: model and forms.
        path: of the recording.
        channel: ``mean``, ``first``, or a number from 1.
        work: folder of everything that is half done.
        label: for messages and the progress bar.
    """
    heard = _decode(settings, path, channel, work, label)
    stored = StoredEstimates(
        mixture=work / "mixture.f32",
        estimates=work / "estimates.f32",
        state=work / "state.npz",
        rate=settings.rate,
    )
    plan = plan_tracks(work / WIDE, settings.way)
    arranged = separate_planned(
        stored, plan, settings.model, settings.device, label, adapt=settings.adapts
    )
    return Separated(heard=heard, stored=stored, arranged=arranged)


def _decode(settings: Settings, path: Path, channel: str, work: Path, label: str) -> Heard:
    """Decode into ``work/mixture.f32``, where that is not done."""
    done = read_json(work / "heard.json")
    if done:
        logger.info("%s: goes on where it was interrupted", path)
        return Heard(level=Level(**done["level"]), n_channels=done["n_channels"])
    with open_audio(path, work) as file:
        _check_space(file.frames, file.samplerate, settings, work)
        name = label if path.parent == work else str(path)
        level = store_channel(file, channel, settings.rate, work / "mixture.f32", name)
        heard = Heard(level=level, n_channels=file.channels)
    if settings.way != "overlap":
        with open_audio(path, work) as file:
            store_channel(file, channel, WIDE_RATE, work / WIDE, name)
    (work / "decoded.wav").unlink(missing_ok=True)
    if heard.n_channels > 1 and channel == "mean":
        logger.info("%s: the mean of its %d channels (see --channel)", name, heard.n_channels)
    if level.sample_rate != settings.rate:
        logger.info("%s: %s", name, describe_resampling(level.sample_rate, settings.rate))
    write_json(work / "heard.json", dataclasses.asdict(heard))
    return heard


def _check_space(n_frames: int, rate: int, settings: Settings, work: Path) -> None:
    """Raise where the disk would fill up after hours of work."""
    n_src = settings.n_src
    seconds = n_frames / rate
    needed = seconds * (4 * settings.rate * (1 + n_src) + BYTES[settings.bits] * rate * n_src)
    needed += seconds * 4 * WIDE_RATE * (settings.way != "overlap")
    free = shutil.disk_usage(work).free
    if free < needed < 1e15:  # a length that a header does not state is beyond
        raise UserError(
            f"{work.parent}: {needed / 1e9:.1f} GB are needed for {seconds / 3600:.1f} h, "
            f"{free / 1e9:.1f} GB are free; make room, or choose another --out."
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One recording, or one channel of it, and where its tracks go.

    Half-done work lies in ``.NAME.separating`` beside the tracks until they are whole.

    Attributes:
        settings: model and forms.
        described: of :meth:`Settings.describe`.
        path: of the recording.
        channel: from 1, where each is separated by itself; 0: as settings say.
        folder: of the tracks.
        name: of the tracks.
    """

    settings: Settings
    described: dict[str, str]
    path: Path
    channel: int
    folder: Path
    name: str

    @property
    def work(self) -> Path:
        """Folder of what is half done."""
        return self.folder / f".{self.name}.separating"

    def run(self, label: str) -> Record:
        """Separate, or go on with it, and put tracks and record into their places."""
        stamp = stamp_recording(self.path)
        self._open_work(stamp)
        begun = time.monotonic()
        channel = self.settings.channel
        if channel == "each":
            channel = str(max(1, self.channel))
        try:
            separated = separate_stored(self.settings, self.path, channel, self.work, label)
        except UserError:
            shutil.rmtree(self.work, ignore_errors=True)  # of a bad recording nothing is left
            raise
        record = self._write(separated, stamp, begun)
        self._put_in_place(record)
        return record

    def _open_work(self, stamp: Stamp) -> None:
        """Make the folder of half-done work anew unless it is this very job's."""
        key = hash_value([str(self.path.resolve()), dataclasses.asdict(stamp), self.described])
        if not (self.work / key).is_file():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            (self.work / key).touch()

    def _write(self, separated: Separated, stamp: Stamp, begun: float) -> Record:
        """Write tracks and RTTM into the folder of half-done work; returns their record."""
        tracks = [f"{self.name}_s{k}.wav" for k in range(1, separated.stored.n_src + 1)]
        targets = [self.work / track for track in tracks]
        level, arranged = separated.heard.level, separated.arranged
        factors = arranged.survey.factors
        down = write_tracks(arranged.tracks, factors, level, targets, self.settings.bits)
        rttm = self.work / f"{self.name}.rttm"
        write_text(rttm, format_rttm(self.name, arranged.speech))
        measured = self._measure(separated, tracks, down, begun)
        for remark in measured.remarks:
            logger.warning("%s: %s", self.path, remark)
        return Record(
            recording=str(self.path.resolve()),
            channel=self.channel,
            stamp=stamp,
            settings=self.described,
            outputs={path.name: stamp_output(path) for path in [*targets, rttm]},
            measured=dataclasses.asdict(measured),
        )

    def _measure(
        self, separated: Separated, tracks: list[str], down: float, begun: float
    ) -> Measured:
        """Everything that is known of a recording and its tracks."""
        level, leads = separated.heard.level, separated.stored.leads
        arranged = separated.arranged
        voices = measure_voices(arranged.survey, arranged.speech, tracks, down)
        return Measured(
            model=self.settings.about,
            model_rate=self.settings.rate,
            n_channels=separated.heard.n_channels,
            sample_rate=level.sample_rate,
            duration_s=round(level.n_samples / level.sample_rate, 3),
            peak_db=round_db(level.peak**2),
            level_db=round_db(level.power),
            n_clipped=level.n_clipped,
            turned_down_db=round_db(1 / down**2),
            way=arranged.way,
            count=arranged.count,
            adaptation=arranged.adaptation,
            explained=round(arranged.survey.explained, 4),
            voices=voices,
            correlations=np.round(arranged.survey.correlations, 4).tolist(),
            order_leads=[round(lead, 3) for lead in leads],
            suspected_swaps_s=arranged.suspected_s,
            remarks=list_remarks(arranged),
            seconds_taken=round(time.monotonic() - begun, 2),
        )

    def _put_in_place(self, record: Record) -> None:
        """Earlier tracks of ours go, then the record comes, then the tracks that it names.

        Killed at any point, the next call knows which files are this command's.
        """
        place = self.folder / f"{self.name}.json"
        before = read_record(place)
        for name, stamp in (before.outputs if before else {}).items():
            if is_as_written(self.folder / name, stamp):
                (self.folder / name).unlink()
        write_text(place, format_record(record))
        for name in record.outputs:
            (self.work / name).replace(self.folder / name)
        shutil.rmtree(self.work)
