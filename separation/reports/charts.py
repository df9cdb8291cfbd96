"""Small charts as inline SVG, whose colours follow the page's light or dark, and marks in HTML."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from separation.diagnosis.finding import Plot, Series

WIDTH, HEIGHT = 420, 230  # of the drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 40  # margins
N_COLOURS = 6  # classes s0 to s5 of page.css


class Scale:
    """Values of an axis -> places in the drawing.

    Args:
        values: all that must be on the axis.
        begin, end: places of its ends.
        log: a logarithmic axis; values must be positive.
    """

    def __init__(
        self, values: Sequence[float], begin: float, end: float, *, log: bool = False
    ) -> None:
        self.log = log
        low, high = (self._map(own) for own in (min(values), max(values)))
        if low == high:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.begin, self.end = low, high, begin, end

    def _map(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def place(self, value: float) -> float:
        share = (self._map(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def list_ticks(self, n_most: int = 6) -> list[float]:
        """Round values within the axis."""
        if self.log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            inside = [own for own in values if self.low <= math.log10(own) <= self.high]
            return inside or [10**self.low, 10**self.high]
        return find_ticks(self.low, self.high, n_most)


def find_ticks(low: float, high: float, n_most: int = 6) -> list[float]:
    """At most ``n_most`` round values from ``low`` to ``high``.

    >>> find_ticks(-1.2, 5.9)
    [0.0, 2.0, 4.0]
    >>> find_ticks(0.0, 0.001)
    [0.0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]
    """
    power = 10 ** math.floor(math.log10((high - low) / n_most))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    for step in steps:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < n_most:
            break
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def plot_lines(plot: Plot, described: str = "") -> str:
    """Lines over a common x as an SVG chart, and below it a legend that hides nothing.

    Args:
        plot: every series has points.
        described: what a screen reader says; the title where empty.
    """
    xs = [x for series in plot.series for x, _ in series.points]
    ys = [y for series in plot.series for _, y in series.points]
    log = plot.x_log and min(xs) > 0
    across = Scale(xs, LEFT + 6, WIDTH - RIGHT - 6, log=log)
    up = Scale(_pad(ys), HEIGHT - BOTTOM, TOP)
    lines = "".join(
        _draw_line(number, series, across, up) for number, series in enumerate(plot.series)
    )
    body = _draw_axes(across, up, plot) + lines
    legend = draw_legend([series.name for series in plot.series]) if len(plot.series) > 1 else ""
    return _wrap(body, described or plot.title) + legend


def _pad(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    gap = 0.06 * (high - low)
    return [low - gap, high + gap]


def _draw_line(number: int, series: Series, across: Scale, up: Scale) -> str:
    places = [(across.place(x), up.place(y)) for x, y in series.points]
    points = " ".join(f"{x},{y}" for x, y in places)
    marks = "".join(f'<circle class="point" cx="{x}" cy="{y}" r="3"/>' for x, y in places)
    shown = marks if len(places) <= 40 else ""
    name = f"<title>{escape(series.name)}</title>"
    line = f'<polyline class="series" points="{points}"/>'
    return f'<g class="s{number % N_COLOURS}">{name}{line}{shown}</g>'


def _draw_axes(across: Scale, up: Scale, plot: Plot) -> str:
    pieces = []
    for value in up.list_ticks():
        y = up.place(value)
        kind = "zero" if value == 0 else "axis"
        pieces.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        pieces.append(_write(LEFT - 6, y + 4, format_tick(value), "end"))
    bottom = HEIGHT - BOTTOM
    for value in across.list_ticks():
        pieces.append(_write(across.place(value), bottom + 16, format_tick(value), "middle"))
    pieces.append(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    pieces.append(_write(middle, HEIGHT - 5, plot.x_label, "middle"))
    y = (TOP + bottom) / 2
    pieces.append(
        f'<text x="12" y="{y}" text-anchor="middle" transform="rotate(-90 12 {y})">'
        f"{escape(plot.y_label)}</text>"
    )
    return "".join(pieces)


def _write(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{round(y, 1)}" text-anchor="{anchor}">{escape(text)}</text>'


def format_tick(value: float) -> str:
    """A value of an axis, as short as can be.

    >>> format_tick(2.0), format_tick(0.0004), format_tick(20000.0), format_tick(-1.5)
    ('2', '4e−4', '20k', '−1.5')
    """
    text = f"{value:g}"
    if abs(value) >= 10000:
        text = f"{value / 1000:g}k"
    elif 0 < abs(value) < 0.001:
        mantissa, exponent = f"{value:.3e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", "−")


def draw_legend(names: Sequence[str]) -> str:
    """A list of the series, each with a piece of its line."""
    items = "".join(
        f'<li class="s{number % N_COLOURS}"><svg aria-hidden="true"><line x2="28" y1="5" y2="5"/>'
        f"</svg>{escape(name)}</li>"
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def plot_bars(plot: Plot, described: str = "") -> str:
    """A bar a series, from the left, with its name and value: readable at any width."""
    values = [series.points[0][1] for series in plot.series]
    low, high = min(0.0, *values), max(0.0, *values) or 1.0
    zero = 100 * -low / (high - low)
    rows = []
    for series, value in zip(plot.series, values, strict=True):
        marks = '<i class="bed"></i>' + draw_mark("bar", zero, 100 * (value - low) / (high - low))
        rows.append(
            f"<tr><th>{escape(series.name)}</th>"
            f'<td class="plotted"><span class="gauge flat">{marks}</span></td>'
            f"<td>{escape(format_tick(round(value, 3)))}</td></tr>"
        )
    caption = f'<caption class="soft small">{escape(described or plot.y_label)}</caption>'
    return f"<table>{caption}<tbody>{''.join(rows)}</tbody></table>"


def draw_plot(plot: Plot) -> str:
    """A plot of a finding, with its title."""
    drawn = plot_lines(plot) if plot.kind == "lines" else plot_bars(plot)
    return f'<div class="plot"><h3>{escape(plot.title)}</h3>{drawn}</div>'


def plot_histogram(
    values: Sequence[float], edges: Sequence[float], number: int, labels: tuple[str, str, str]
) -> str:
    """Counts of values in bins as an SVG chart, with a mark at their mean.

    Args:
        values: at least one.
        edges: of the bins, in order; several charts share them, so that they can be compared.
        number: of its colour.
        labels: of x and y, and what a screen reader says.
    """
    bins = [*pairwise(edges)]
    counts = [sum(low <= value < high for value in values) for low, high in bins]
    across = Scale([*edges], LEFT, WIDTH - RIGHT)
    up = Scale([0.0, max(counts) * 1.05], HEIGHT - BOTTOM, TOP)
    plot = Plot(title="", x_label=labels[0], y_label=labels[1], series=())
    bars = "".join(
        _draw_bar(across.place(low), across.place(high), up.place(count), f"{low:g}: {count}")
        for (low, high), count in zip(bins, counts, strict=True)
        if count
    )
    mean = across.place(sum(values) / len(values))
    marks = f'<line class="mean" x1="{mean}" x2="{mean}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    if edges[0] <= 0 <= edges[-1]:
        zero = across.place(0.0)
        marks += f'<line class="zero" x1="{zero}" x2="{zero}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    body = f'{_draw_axes(across, up, plot)}<g class="s{number % N_COLOURS}">{bars}</g>{marks}'
    return _wrap(body, labels[2])


def _draw_bar(left: float, right: float, top: float, text: str) -> str:
    width, height = round(right - left - 1, 1), round(HEIGHT - BOTTOM - top, 1)
    return (
        f'<rect class="bar" x="{left}" y="{top}" width="{max(width, 0.5)}" height="{height}">'
        f"<title>{escape(text)}</title></rect>"
    )


def choose_edges(values: Sequence[float], n_most: int = 40) -> list[float]:
    """Edges of bins of 1 dB, or 2, 5 ... where that would be more than ``n_most``.

    >>> choose_edges([0.2, 2.7])
    [0.0, 1.0, 2.0, 3.0]
    """
    for width in (1, 2, 5, 10, 20, 50):
        first, last = math.floor(min(values) / width), math.floor(max(values) / width) + 1
        if last - first <= n_most:
            break
    return [float(width * number) for number in range(first, last + 1)]


def _wrap(body: str, described: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(described)}">{body}</svg>'
    )


def draw_mark(kind: str, left: float, right: float | None = None) -> str:
    """A mark at a place of an axis in percent, or from one to another, as HTML."""
    if right is None:
        return f'<i class="{kind}" style="left:{left:.1f}%"></i>'
    low, high = sorted((left, right))
    return f'<i class="{kind}" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'


def draw_whisker(
    low: float | None, mean: float, high: float | None, ends: tuple[float, float], number: int = 0
) -> str:
    """A mean and its interval as a dot on a line, for a cell of a table.

    Args:
        low, high: of the interval; None where there is none.
        ends: of the axis, which all cells of a table share.
        number: of its colour.
    """

    def place(value: float) -> float:
        return min(100.0, max(0.0, 100 * (value - ends[0]) / (ends[1] - ends[0])))

    zero = draw_mark("zero", place(0)) if ends[0] <= 0 <= ends[1] else ""
    span = "" if low is None or high is None else draw_mark("span", place(low), place(high))
    dot = draw_mark("dot", place(mean))
    return (
        f'<span class="whisker s{number % N_COLOURS}" aria-hidden="true">{zero}{span}{dot}</span>'
    )
