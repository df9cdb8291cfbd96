"""Utterances that are no files of their own, cut out into a folder with a table.

They are pieces of longer recordings, lie in Kaldi's archives, or are what a command writes.
Commands run only where they are allowed, since a data file should not act by itself.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.files import read_audio
from separation.corpora.kaldi_archives import decode_bytes, parse_place, read_archived
from separation.corpora.plugin import Recording
from separation.errors import UserError
from separation.files import format_rows, hash_text, write_text, write_whole
from separation.jobs import run_jobs
from separation.text import explain_briefly, list_lines

TABLE = "utterances.csv"
LONGEST_NAME = 60  # characters of at most three bytes
SLACK_S = 0.1  # by which a piece may end behind its recording


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An utterance, and what it is cut out of.

    Attributes:
        recording: all that is known of it; its path is made up.
        source: a file, ``ARCHIVE:OFFSET[FIRST:LAST]``, or a command that ends in ``|``.
        where: file and line that say so, for errors.
        start_s: of the piece.
        end_s: None: the recording's own.
        channel: of several; None: all of them.
    """

    recording: Recording
    source: str
    where: str
    start_s: float = 0.0
    end_s: float | None = None
    channel: int | None = None

    @property
    def path(self) -> str:
        """Of the file that it becomes, relative to the folder."""
        row = self.recording
        names = [_make_plain(name) for name in (row.speaker, row.utterance)]
        odd = "" if names == [row.speaker, row.utterance] else f"-{hash_text(row.utterance)[:6]}"
        return f"{names[0]}/{names[1]}{odd}.flac"


def _make_plain(name: str) -> str:
    """A name that stays within its folder, whatever a table calls a speaker or an utterance.

    >>> _make_plain("a b"), _make_plain("..")
    ('a_b', '_')
    """
    plain = re.sub(r"[^\w.-]", "_", name)[:LONGEST_NAME]
    return "_" if set(plain) <= {"."} else plain


def refuse_commands(pieces: Sequence[Piece], *, allowed: bool) -> None:
    """Raise :class:`UserError` where a source is a command and these are not allowed."""
    commands = [piece for piece in pieces if piece.source.endswith("|")]
    if commands and not allowed:
        raise UserError(
            f"{commands[0].where} is a command ({commands[0].source}), and a data file should not "
            "act by itself: look at it, then set corpus.allow_commands=true, or write plain audio "
            "files first and name these."
        )


def extract_pieces(
    pieces: Sequence[Piece], folder: Path, n_jobs: int, matrix_rate: int = 0
) -> None:
    """Write every piece as 16-bit FLAC, and the table last; what is there already is kept.

    Args:
        matrix_rate: Hz, of what states none in archives; 0: refused.

    Raises:
        UserError: there are none; or lists sources that cannot be read, and pieces outside.
    """
    if not pieces:
        raise UserError(
            f"{folder}: would hold no utterance, since the tables name none; write a line for each."
        )
    by_source: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        if not (folder / piece.path).is_file():
            by_source[piece.source].append(piece)
    work = partial(_cut_source, folder=folder, matrix_rate=matrix_rate)
    jobs = list(by_source.values())
    results = run_jobs(work, jobs, n_jobs, total=len(jobs), label="cut out", unit="recording")
    faults = [fault for found in results for fault in found]
    if faults:
        raise UserError(
            f"{list_lines(faults)}\n{len(faults)} of {len(pieces)} utterances cannot be cut out: "
            "correct these lines or take them out."
        )
    rows = [_describe(piece) for piece in pieces]
    write_text(folder / TABLE, format_rows(sorted(rows, key=lambda row: row["path"])))


def _describe(piece: Piece) -> dict[str, str]:
    row = piece.recording
    return {
        "utterance": row.utterance,
        "speaker": row.speaker,
        "sex": row.sex,
        "age": row.age,
        "subset": row.subset,
        "path": piece.path,
        "transcript": row.transcript,
    }


def _cut_source(pieces: list[Piece], folder: Path, matrix_rate: int) -> list[str]:
    """Write the pieces of one source; what is wrong with it or them."""
    try:
        samples, sample_rate = read_source(pieces[0].source, matrix_rate)
    except (UserError, OSError, RuntimeError) as error:
        return [f"{pieces[0].where}: {explain_briefly(error)}"]
    return [fault for piece in pieces if (fault := _cut(piece, samples, sample_rate, folder))]


def _cut(piece: Piece, samples: np.ndarray, sample_rate: int, folder: Path) -> str:
    duration_s = len(samples) / sample_rate
    end_s = duration_s if piece.end_s is None else piece.end_s
    if not 0 <= piece.start_s < end_s <= duration_s + SLACK_S:
        return (
            f"{piece.where}: {piece.start_s:g} to {end_s:g} s do not lie in a recording of "
            f"{duration_s:.2f} s"
        )
    part = samples[round(piece.start_s * sample_rate) : round(end_s * sample_rate)]
    if piece.channel is not None and part.shape[1] > 1:
        part = part[:, [piece.channel]]
    part = part / max(1.0, float(np.abs(part).max()))  # floats above full scale would clip
    with write_whole(folder / piece.path) as partial_path:
        soundfile.write(partial_path, part, sample_rate, "PCM_16", format="FLAC")
    return ""


def read_source(source: str, matrix_rate: int = 0) -> tuple[np.ndarray, int]:
    """Samples ``(time, channels)`` and rate of a file, of a place in an archive, or of a command.

    Raises:
        UserError: it cannot be read.
    """
    if source.endswith("|"):
        return decode_bytes(_call(source[:-1].strip()), source)
    place = parse_place(source)
    return read_audio(Path(source)) if place is None else read_archived(place, matrix_rate)


def _call(command: str) -> bytes:
    """What a command writes, as Kaldi calls it: by the shell."""
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise UserError(f"the command {command} failed: {reason}")
    return done.stdout
