"""Blocks of a report as Markdown and as one self-contained HTML page; spectrograms and players."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from separation.mixtures.signals import Mixture
from separation.text import format_table

STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse}td,th{border:1px solid #8886;padding:.25em .6em;text-align:left}
.wide{overflow-x:auto}li,p,h1,h2,h3{overflow-wrap:anywhere}img{max-width:100%;background:#fff}
.signals{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}figcaption{font-size:12px}
audio{width:340px;max-width:100%;height:30px;display:block}
pre{background:#8882;padding:1em;overflow:auto}
"""
SHORTEST_S = 0.04  # a spectrogram needs one window of 32 ms


@dataclass(frozen=True)
class Table:
    """A table of plain texts: a head, and rows of as many cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Block(NamedTuple):
    """A piece of a report: ``h1`` to ``h3``, ``text``, or a ``list`` of lines.

    The text is plain: nothing in it is taken for Markdown or HTML.
    """

    kind: str
    content: str | Sequence[str]


Part = Block | Table


def blocks_to_markdown(parts: Sequence[Part]) -> str:
    """A report as Markdown."""
    return "\n\n".join(_to_markdown(part) for part in parts) + "\n"


def _to_markdown(part: Part) -> str:
    if isinstance(part, Table):
        return format_table(part.head, part.rows)
    lines = _list_lines(part)
    if part.kind == "text":
        return "\n".join(lines)
    mark = "-" if part.kind == "list" else "#" * int(part.kind[1])
    return "\n".join(f"{mark} {' '.join(line.split())}" for line in lines)


def _list_lines(block: Block) -> list[str]:
    return [block.content] if isinstance(block.content, str) else list(block.content)


def blocks_to_html(parts: Sequence[Part]) -> str:
    """A report as HTML, every text escaped."""
    return "\n".join(_to_html(part) for part in parts)


def _to_html(part: Part) -> str:
    if isinstance(part, Table):
        return _table_to_html(part)
    lines = _list_lines(part)
    if part.kind == "list":
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
    tag = "p" if part.kind == "text" else part.kind
    return "\n".join(f"<{tag}>{escape(line)}</{tag}>" for line in lines)


def _table_to_html(table: Table) -> str:
    lines = [_row_to_html(table.head, "th"), *(_row_to_html(row, "td") for row in table.rows)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _row_to_html(cells: Sequence[str], tag: str) -> str:
    return (
        "<tr>"
        + "".join(f"<{tag}>{escape(' '.join(cell.split()))}</{tag}>" for cell in cells)
        + "</tr>"
    )


def format_page(title: str, body: str) -> str:
    """A whole HTML page that refers to nothing outside of itself."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def show_signals(
    mixture: Mixture, estimates: np.ndarray, rate: int, longest_s: float | None = None
) -> str:
    """Spectrogram and player of mixture, references and estimates, as HTML.

    Args:
        estimates: ``(n_src, time)``, in the order of the references.
        rate: Hz.
        longest_s: no more than the beginning of this many seconds.
    """
    from separation.plots import plot_spectrogram

    signals = [("mixture", mixture.mixture)]
    signals += [(f"reference {i}", source) for i, source in enumerate(mixture.sources, 1)]
    signals += [(f"estimate {i}", estimate) for i, estimate in enumerate(estimates, 1)]
    if longest_s is not None and len(mixture.mixture) > longest_s * rate:
        cut = round(longest_s * rate)
        signals = [(f"{label}, first {longest_s:g} s", own[:cut]) for label, own in signals]
    shortage = max(0, round(SHORTEST_S * rate) - len(mixture.mixture))
    figures = [
        f'<figure><figcaption>{label}</figcaption><img alt="spectrogram of {label}" '
        f'src="{plot_spectrogram(np.pad(samples, (0, shortage)), rate)}">'
        f'<audio controls preload="none" src="{encode_audio(samples, rate)}"></audio></figure>'
        for label, samples in signals
    ]
    return f'<div class="signals">{"".join(figures)}</div>'


def encode_audio(samples: np.ndarray, rate: int) -> str:
    """``(time,)`` as a 16-bit WAV file in a ``data:`` URI."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
