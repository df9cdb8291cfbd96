"""Blocks of a report as Markdown and as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple, Protocol

from separation.text import format_table

FOLDER = Path(__file__).parent  # page.css and page.js lie beside this file


class Part(Protocol):
    """A piece of a report."""

    def to_markdown(self) -> str:
        """The piece as Markdown."""
        ...

    def to_html(self) -> str:
        """The piece as HTML, every text escaped."""
        ...


@dataclass(frozen=True)
class Table:
    """A table of plain texts, which a page sorts by any column.

    Attributes:
        head: names of the columns.
        rows: of as many cells.
        marked: numbers of the rows that stand out: the model's.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()

    def to_markdown(self) -> str:
        return format_table(self.head, self.rows)

    def to_html(self) -> str:
        sorts = len(self.rows) > 1
        head = "".join(_head_to_html(cell, sorts=sorts) for cell in self.head)
        rows = "".join(_row_to_html(row, n in self.marked) for n, row in enumerate(self.rows))
        kind = ' class="sorts"' if sorts else ""
        return (
            f'<div class="wide" tabindex="0"><table{kind}><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )


def _head_to_html(cell: str, *, sorts: bool) -> str:
    text = escape(" ".join(cell.split()))
    inner = f'<button type="button">{text}</button>' if sorts else text
    return f'<th scope="col">{inner}</th>'


def _row_to_html(cells: Sequence[str], marked: bool) -> str:
    mark = ' class="own"' if marked else ""
    texts = "".join(f"<td>{escape(' '.join(cell.split()))}</td>" for cell in cells)
    return f"<tr{mark}>{texts}</tr>"


class Block(NamedTuple):
    """A piece of text: ``h1`` to ``h3``, ``text``, or a ``list`` of lines.

    The text is plain: nothing in it is taken for Markdown or HTML, but that a page sets what
    stands between backticks as code.
    """

    kind: str
    content: str | Sequence[str]

    @property
    def lines(self) -> list[str]:
        return [self.content] if isinstance(self.content, str) else list(self.content)

    def to_markdown(self) -> str:
        if self.kind == "text":
            return "\n".join(self.lines)
        mark = "-" if self.kind == "list" else "#" * int(self.kind[1])
        return "\n".join(f"{mark} {' '.join(line.split())}" for line in self.lines)

    def to_html(self) -> str:
        if self.kind == "list":
            return (
                "<ul>" + "".join(f"<li>{format_code(line)}</li>" for line in self.lines) + "</ul>"
            )
        tag = "p" if self.kind == "text" else self.kind
        return "\n".join(f"<{tag}>{format_code(line)}</{tag}>" for line in self.lines)


def format_code(text: str) -> str:
    """A text as HTML, in which commands between backticks are code.

    >>> format_code("`a <b>` does")
    '<code>a &lt;b&gt;</code> does'
    """
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a backtick that closes nothing
        return escape(text)
    return "".join(
        f"<code>{escape(piece)}</code>" if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def blocks_to_markdown(parts: Sequence[Part]) -> str:
    """A report as Markdown."""
    return "\n\n".join(part.to_markdown() for part in parts) + "\n"


def blocks_to_html(parts: Sequence[Part]) -> str:
    """A report as HTML, every text escaped."""
    return "\n".join(part.to_html() for part in parts)


def fold(summary: str, body: str) -> str:
    """HTML that opens when its line is chosen."""
    return f'<details class="card"><summary>{escape(summary)}</summary>{body}</details>'


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page.

    Attributes:
        title: its first heading.
        origin: a line below it: what this is of.
        more: of the same, where there is room.
        window: what the browser's window is called.
        body: HTML.
        footer: a last line.
        language: of the texts, as ``en``.
    """

    title: str
    origin: str
    window: str
    body: str
    more: str = ""
    footer: str = ""
    language: str = "en"


def format_page(page: Page) -> str:
    """A whole HTML page that refers to nothing outside of itself."""
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("page.css", "page.js"))
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(page.window)}</title>'
        f"<style>{style}</style>"
    )
    more = f'<span class="more"> · {escape(page.more)}</span>' if page.more else ""
    header = f'<h1>{escape(page.title)}</h1><p class="origin">{escape(page.origin)}{more}</p>'
    footer = f"<footer><p>{escape(page.footer)}</p></footer>" if page.footer else ""
    return (
        f'<!doctype html><html lang="{page.language}"><head>{head}</head><body>'
        f"<header>{header}</header><main>{page.body}</main>{footer}"
        f"<script>{script}</script></body></html>\n"
    )
