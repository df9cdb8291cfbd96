"""Checks of recordings that a user's table names: all there, each once, one sex a speaker."""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from separation.corpora.plugin import Recording
from separation.errors import MissingInputError, UserError
from separation.safe_paths import find_name_fault, shorten_name
from separation.text import decode_text, list_first

logger = logging.getLogger(__name__)

SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "": ""}


SUBSET_NAMES = {  # of splits, as corpora call them, to ours
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("dev", "valid", "val", "validation", "cv"), "dev"),
    **dict.fromkeys(("test", "testing", "tt", "eval"), "test"),
}
COPY_MARKS = re.compile(  # of one sentence: another microphone, coding or copy of the file
    r"(_mic\d|[ _-]*\(\d+\)|[ _-]+(copy|kopie|copie|副本)( ?\d+)?|\.(wav|wv\d|flac|sph|mp3))$"
)


def name_prompt(path: str) -> str:
    """What a file's name says of its sentence: alike for two microphones, codings and copies.

    >>> [name_prompt(path) for path in ("p225_001_mic2.flac", "a/Hello (1).wav", "SA1.WAV.wav")]
    ['p225_001', 'hello', 'sa1']
    """
    name = Path(path).stem.lower()
    while (shorter := COPY_MARKS.sub("", name)) not in ("", name):
        name = shorter
    return name


def find_spelling(root: str, path: str) -> str:
    """A path as the disk spells it, where a table has back-slashes, or accents composed otherwise.

    Args:
        root: folder that the path is relative to.
        path: as a table has it; itself where no spelling of it is there.
    """
    spellings = [path, path.replace("\\", "/")]
    spellings += [
        unicodedata.normalize(form, text) for text in spellings for form in ("NFC", "NFD")
    ]
    there = (text for text in spellings if os.path.isfile(os.path.join(root, text)))  # noqa: PTH113, PTH118
    return next(there, path)


def read_table_text(path: Path) -> tuple[str, str]:
    """The text of a table, and a remark for the errors about it where it is no UTF-8.

    Raises:
        UserError: it is no text.
    """
    try:
        text, coding = decode_text(path.read_bytes())
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is no text in UTF-8, UTF-16 or GBK ({error}); save it as UTF-8."
        ) from error
    if coding:
        logger.warning("%s: is no UTF-8 and was read as %s", path, coding)
    return text, f" (it was read as {coding}, since it is no UTF-8)" if coding else ""


def parse_sex(text: str, where: str) -> str:
    """``M``, ``F`` or empty.

    Args:
        text: m, f, male, female in any case, or nothing.
        where: file and line, for the error.

    Raises:
        UserError: anything else.

    >>> parse_sex("Female", "utterances.csv: line 2")
    'F'
    """
    sex = SEXES.get(text.strip().lower())
    if sex is None:
        raise UserError(f"{where} has the sex {text.strip()!r}; write m, f or nothing.")
    return sex


def refuse_repeats(names: Sequence[str], what: str, fix: str) -> None:
    """Raise :class:`UserError` where a name comes twice; ``what`` names file and thing."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(
            f"{what} more than once for {len(repeated)} ({list_first(repeated)}); {fix}."
        )


def check_recordings(
    recordings: list[Recording], root: Path, table: Path, fix: str, remark: str = ""
) -> None:
    """Check what the later stages rest on.

    Args:
        recordings: as listed, paths relative to ``root``.
        root: of their paths.
        table: the file or folder that names them, for the errors.
        fix: what to do about an utterance or a file that is named twice.
        remark: on the table's coding, which may be why files are not there.

    Raises:
        MissingInputError: recordings that are not there.
        UserError: none at all, one named twice, a speaker of two sexes or an impossible name.
    """
    if not recordings:
        raise UserError(f"{table}: names no utterance; write one line for each recording.")
    ids = [row.utterance for row in recordings if row.utterance]
    refuse_repeats(ids, f"{table}: has the same utterance ID", fix)
    refuse_repeats([row.path for row in recordings], f"{table}: names the same file", fix)
    _check_speakers(recordings, table)
    absent = [row.path for row in recordings if not os.path.isfile(root / row.path)]  # noqa: PTH113
    if absent:
        raise MissingInputError(
            f"{table}: {len(absent)} of its {len(recordings)} files are not there "
            f"({list_first([str(root / path) for path in absent])}){remark}; fix the paths or take "
            "these lines out."
        )


def _check_speakers(recordings: list[Recording], table: Path) -> None:
    speakers = sorted({(row.speaker, row.sex) for row in recordings})
    odd = sorted({name for name, _ in speakers if "/" in name})
    if odd:
        raise UserError(
            f"{table}: {len(odd)} speaker names hold a slash ({list_first(odd)}); they name files "
            "later on, so write them without."
        )
    for name, fault in [(name, find_name_fault(name)) for name, _ in speakers]:
        if fault:
            raise UserError(
                f"{table}: the speaker {shorten_name(name)} {fault}; it names files later on, so "
                "write it otherwise."
            )
    both = [name for name, count in Counter(name for name, _ in speakers).items() if count > 1]
    if both:
        raise UserError(
            f"{table}: {len(both)} speakers have more than one sex ({list_first(both)}); give "
            "each of their lines the same one."
        )
