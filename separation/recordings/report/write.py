"""Writing the page of a separated recording beside its tracks."""

from pathlib import Path

from separation.errors import UserError
from separation.files import write_text
from separation.recordings.report.assess import assess
from separation.recordings.report.page import MARK, format_report
from separation.recordings.report.signals import open_separated
from separation.recordings.report.words import read_sentences

READ = 64_000  # characters of a page within which its mark stands


def write_report(
    record: Path, page: Path | None = None, language: str = "en", spoken: str = ""
) -> Path:
    """Write one self-contained HTML page on a separated recording; returns its path.

    Args:
        record: the NAME.json that ``separate`` wrote beside the tracks.
        page: file of the page; None: NAME.html beside the tracks, or NAME_report.html where
            that is a file that this function did not write.
        language: of the page, ``en`` or ``zh``.
        spoken: code of the language of the recording; empty: it is not said.

    Raises:
        MissingInputError: record, recording or tracks are not there.
        UserError: they have changed since, or no name is free.
    """
    read_sentences(language)
    target = page or choose_page(record)
    with open_separated(record) as separated:
        text = format_report(assess(record, separated, spoken), separated, language)
    write_text(target, text)
    return target


def choose_page(record: Path) -> Path:
    """The page of a record, which replaces nothing but an earlier page.

    Raises:
        UserError: files that something else wrote have its names.
    """
    names = [record.with_suffix(".html"), record.with_name(f"{record.stem}_report.html")]
    for path in names:
        if not path.exists() or is_page(path):
            return path
    raise UserError(
        f"{names[0]} and {names[1].name} are files that this command did not write; "
        "move one of them."
    )


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return MARK in handle.read(READ)
    except OSError:
        return False
