"""A diagnosis as text for the terminal, as Markdown and as one self-contained HTML page."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from separation.diagnosis.finding import Diagnosis, Evidence, Finding, Worth, write_diagnosis
from separation.diagnosis.sentences import Writer
from separation.files import write_text
from separation.reports.findings import show_evidence, show_first
from separation.reports.page import Block, Page, Part, Table, blocks_to_markdown, format_page
from separation.reports.words import Words

WIDTH = 100  # of the terminal's lines; Chinese has no spaces to break at
INDENT = "   "


def write_diagnosis_files(folder: Path, diagnosis: Diagnosis) -> list[Path]:
    """Write ``diagnosis.json``, ``diagnosis.md`` and ``diagnosis.html``.

    Returns:
        the three paths.
    """
    paths = [folder / f"diagnosis.{suffix}" for suffix in ("json", "md", "html")]
    write_diagnosis(paths[0], diagnosis)
    write_text(paths[1], blocks_to_markdown(list_parts(diagnosis)))
    write_text(paths[2], format_html(diagnosis))
    return paths


def format_html(diagnosis: Diagnosis) -> str:
    """The page: every finding, then its evidence and all that was looked at."""
    words, n_all = Words(diagnosis.language), len(diagnosis.findings)
    title = Writer(diagnosis.language).say("page", "title", {"experiment": diagnosis.experiment})
    page = Page(
        title=title,
        origin=diagnosis.experiment,
        window=title,
        body=show_first(diagnosis, words, n_all) + show_evidence(diagnosis, words),
        footer="",
        language=diagnosis.language,
    )
    return format_page(page)


def format_text(diagnosis: Diagnosis) -> str:
    """The findings as the terminal shows them."""
    writer = Writer(diagnosis.language)
    lines = [writer.say("page", "title", {"experiment": diagnosis.experiment})]
    for number, finding in enumerate(diagnosis.findings, 1):
        lines += ["", f"{number}. {writer.say('page', finding.kind)}: {finding.title}"]
        lines += _wrap(finding.explanation)
        for label, text in _list_details(finding, writer):
            lines += _wrap(f"{label}: {text}")
    return "\n".join(lines)


def _list_details(finding: Finding, writer: Writer) -> Iterator[tuple[str, str]]:
    """Evidence, change and worth, each with its name."""
    for own in finding.evidence:
        yield "- " + own.label, own.value
    if finding.change is not None:
        keys = " ".join(f"--set {key}={value}" for key, value in finding.change.keys)
        yield writer.say("page", "change"), " ".join(filter(None, (finding.change.text, keys)))
        if finding.change.command:
            yield "$", finding.change.command
    if finding.worth is not None:
        yield writer.say("page", "worth"), format_worth(finding.worth, writer)


def format_worth(worth: Worth, writer: Writer) -> str:
    """``+0.5 to +1.5 dB: expected, not measured``."""
    if worth.low_db is None or worth.high_db is None or worth.measured:
        return worth.source
    values = {"low": worth.low_db, "high": worth.high_db}
    return f"{writer.say('page', 'range', values)}: {worth.source}"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=INDENT + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def list_parts(diagnosis: Diagnosis) -> list[Part]:
    """The whole page, as blocks."""
    writer = Writer(diagnosis.language)
    title = writer.say("page", "title", {"experiment": diagnosis.experiment})
    parts: list[Part] = [Block("h1", title)]
    for number, finding in enumerate(diagnosis.findings, 1):
        kind = writer.say("page", finding.kind)
        parts.append(Block("h2", f"{number}. {finding.title} ({kind})"))
        parts.append(Block("text", finding.explanation))
        details = [
            f"{label.removeprefix('- ')}: {text}" for label, text in _list_details(finding, writer)
        ]
        if details:
            parts.append(Block("list", details))
    parts.append(Block("h2", writer.say("page", "looked_at")))
    parts.append(Table(("", ""), [_list_cells(own) for own in diagnosis.facts]))
    return parts


def _list_cells(evidence: Evidence) -> list[str]:
    return [evidence.label, evidence.value]
