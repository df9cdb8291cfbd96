"""Separating files: tracks, who speaks when, and a record of it, for each; bad ones are named."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from separation.device import refuse_full_memory
from separation.errors import UnscoredError, UserError
from separation.recordings.decode import open_audio
from separation.recordings.inputs import Recording, find_recordings
from separation.recordings.job import Job, Settings, separate_stored
from separation.recordings.record import Record, hold_free_name, read_record
from separation.recordings.stream import StreamJob
from separation.recordings.tracks import write_tracks
from separation.text import explain_error, list_first

logger = logging.getLogger(__name__)

FAULTS = (UserError, OSError, RuntimeError, MemoryError)  # of one recording; the next may be fine


def separate_files(settings: Settings, paths: Sequence[Path]) -> list[Path]:
    """Separate files, and all audio of folders; returns the tracks, in order.

    A recording whose tracks are there already, as this command wrote them, is not separated again.
    Where pages are asked for, that of a recording follows its tracks.

    Raises:
        MissingInputError: there is no such file or folder.
        UnscoredError: some could not be separated; the sentence names them, ``outputs`` holds the
            tracks of the others.
    """
    written: list[Path] = []
    faults: list[str] = []
    recordings = find_recordings(paths, settings.out)
    described = settings.describe()
    for number, recording in enumerate(recordings, 1):
        label = f"{number}/{len(recordings)} {recording.path.name}"
        try:
            for tracks in separate_recording(settings, described, recording, label):
                written += tracks
        except FAULTS as error:
            faults.append(_name_fault(recording.path, error))
            logger.error("%s", faults[-1])
    if faults:
        raise UnscoredError(_count_faults(faults, len(recordings)), written)
    return written


def _name_fault(path: Path, error: BaseException) -> str:
    text = explain_error(error)
    return text if str(path) in text else f"{path}: {text}"


def _count_faults(faults: list[str], n_all: int) -> str:
    if n_all == 1:
        return faults[0]
    texts = list_first([fault.rstrip(".") for fault in faults], len(faults), "; ")
    return (
        f"{len(faults)} of {n_all} recordings could not be separated, the others are done: {texts}."
    )


def separate_recording(
    settings: Settings, described: dict[str, str], recording: Recording, label: str
) -> Iterator[list[Path]]:
    """Yield tracks and page of a recording, of each channel by itself where that is asked for.

    Args:
        settings: model and forms.
        described: of :meth:`Settings.describe`.
        recording: the file.
        label: for the progress bar.
    """
    refuse_full_memory()
    n_channels = _count_channels(recording.path) if settings.channel == "each" else 0
    for channel in range(1, n_channels + 1) if n_channels > 1 else (0,):
        folder = settings.out / recording.below
        names = recording.list_names(channel)
        with hold_free_name(folder, names, recording.path, channel) as name:
            if not name:
                raise UserError(
                    f"{recording.path}: {folder} holds files of its tracks' names that this "
                    "command did not write; choose another --out."
                )
            job = (StreamJob if settings.block_s else Job)(
                settings=settings,
                described=described,
                path=recording.path,
                channel=channel,
                folder=folder,
                name=name,
            )
            record = _run_unless_done(job, f"{label} channel {channel}" if channel else label)
        written = [folder / track for track in record.outputs if track.endswith(".wav")]
        if settings.report:
            from separation.recordings.report.write import write_report

            place = folder / f"{name}.json"
            written.append(write_report(place, language=settings.report, spoken=settings.spoken))
        yield written


def _run_unless_done(job: Job, label: str) -> Record:
    """The record of what an earlier call did, or of this one."""
    place = job.folder / f"{job.name}.json"
    record = read_record(place)
    if record is None or not record.fits(job.path, job.described, job.folder):
        return job.run(label)
    logger.info("%s: is done already (%s)", job.path, place)
    return record


def _count_channels(path: Path) -> int:
    with tempfile.TemporaryDirectory() as folder, open_audio(path, Path(folder)) as file:
        return file.channels


def separate_stream(settings: Settings, source: BinaryIO, target: BinaryIO) -> None:
    """Separate audio that comes through a pipe into WAV with a channel per voice.

    Args:
        settings: ``out`` is not used.
        source: whole, in a format that libsndfile knows by its first bytes, or ffmpeg.
        target: gets the WAV file.

    Raises:
        UserError: it is no audio, silent or too short, or ``channel`` is ``each``.
    """
    if settings.channel == "each":
        raise UserError("--channel each: a pipe takes one result; choose a channel's number.")
    with tempfile.TemporaryDirectory(prefix="separate-") as folder:
        work = Path(folder)
        with open(work / "stdin", "wb") as handle:
            shutil.copyfileobj(source, handle)
        if not (work / "stdin").stat().st_size:
            raise UserError("stdin: is empty; pipe a WAV file into it.")
        separated = separate_stored(settings, work / "stdin", settings.channel, work, "stdin")
        tracks = work / "tracks.wav"
        arranged, level = separated.arranged, separated.heard.level
        write_tracks(arranged.tracks, arranged.survey.factors, level, [tracks], settings.bits)
        with open(tracks, "rb") as handle:
            shutil.copyfileobj(handle, target)
    target.flush()
