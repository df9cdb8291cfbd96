"""What reports share: blocks of text as Markdown and as one self-contained HTML page, players."""

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from separation.mixtures.signals import Mixture

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}
.signals{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}figcaption{font-size:12px}
audio{width:340px;height:30px;display:block}pre{background:#f5f5f5;padding:1em;overflow:auto}
"""
SHORTEST_S = 0.04  # a spectrogram needs one window of 32 ms


class Block(NamedTuple):
    """A piece of a report: ``h1`` to ``h3``, ``text``, ``list`` (of lines) or ``table`` (Markdown).

    The text is plain: nothing in it is taken for Markdown or HTML.
    """

    kind: str
    content: str | Sequence[str]


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
    """A table of plain texts."""
    lines = [head, ["---"] * len(head), *rows]
    return Block("table", ["| " + " | ".join(map(escape_cell, line)) + " |" for line in lines])


def escape_cell(text: str) -> str:
    r"""A text that can stand in a cell of a Markdown table.

    >>> escape_cell("a|b\nc")
    'a\\|b c'
    """
    return " ".join(text.split()).replace("|", "\\|")


def format_blocks(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown."""
    return "\n\n".join(_to_markdown(block) for block in blocks) + "\n"


def _to_markdown(block: Block) -> str:
    lines = [block.content] if isinstance(block.content, str) else list(block.content)
    if block.kind in ("table", "text"):
        return "\n".join(lines)
    mark = "-" if block.kind == "list" else "#" * int(block.kind[1])
    return "\n".join(f"{mark} {' '.join(line.split())}" for line in lines)


def blocks_to_html(blocks: Sequence[Block]) -> str:
    """The blocks as HTML, every text escaped."""
    return "\n".join(_to_html(block) for block in blocks)


def _to_html(block: Block) -> str:
    lines = [block.content] if isinstance(block.content, str) else list(block.content)
    if block.kind == "table":
        return table_to_html("\n".join(lines))
    if block.kind == "list":
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
    tag = "p" if block.kind == "text" else block.kind
    return "\n".join(f"<{tag}>{escape(line)}</{tag}>" for line in lines)


def table_to_html(markdown: str) -> str:
    """A Markdown table as HTML, every cell escaped."""
    lines = [_split_cells(line) for line in markdown.splitlines()]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in lines[0])
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines[2:]
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _split_cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]


def format_page(title: str, body: str) -> str:
    """A whole HTML page that refers to nothing outside of itself."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
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
