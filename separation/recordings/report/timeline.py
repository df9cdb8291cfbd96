"""Who speaks when, and what is suspected, along one line of time, as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from separation.recordings.report.suspicions import Span
from separation.reports.charts import find_ticks

FINEST = 500  # marks that would be closer than a 500th of the line are drawn as one


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A span that can be listened to.

    Attributes:
        span: seconds.
        signal: number of the player's signal.
        label: what is heard there.
        number: of its colour.
    """

    span: Span
    signal: int
    label: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A row of the time line.

    Attributes:
        name: whose.
        spans: seconds that are drawn.
        number: of its colour.
        marks: that are buttons.
    """

    name: str
    spans: tuple[Span, ...] = ()
    number: int = 0
    marks: tuple[Mark, ...] = ()


def format_time(second: float) -> str:
    """Minutes and seconds, hours where there are any.

    >>> format_time(65.4), format_time(3725)
    ('1:05', '1:02:05')
    """
    minutes, rest = divmod(int(second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def draw_timeline(lanes: Sequence[Lane], duration_s: float, described: str) -> str:
    """Lanes above an axis of minutes and seconds."""
    rows = "".join(_draw_lane(lane, duration_s) for lane in lanes)
    ticks = [own for own in find_ticks(0, duration_s, 5) if own < 0.93 * duration_s]
    axis = "".join(
        f'<span style="left:{100 * own / duration_s:.2f}%">{format_time(own)}</span>'
        for own in ticks
    )
    return (
        f'<div class="timeline" role="group" aria-label="{escape(described)}">{rows}'
        f'<div class="axis" aria-hidden="true">{axis}</div></div>'
    )


def _draw_lane(lane: Lane, duration_s: float) -> str:
    spans = join_near(lane.spans, duration_s / FINEST)
    bars = "".join(f'<i style="{_place(span, duration_s)}"></i>' for span in spans)
    marks = "".join(
        f'<button type="button" class="s{mark.number}" style="{_place(mark.span, duration_s)}" '
        f'title="{escape(mark.label)}" aria-label="{escape(mark.label)}" '
        f'data-seek="{mark.span[0]:.1f}" data-signal="{mark.signal}"></button>'
        for mark in lane.marks
    )
    return (
        f'<div class="who">{escape(lane.name)}</div>'
        f'<div class="lane s{lane.number}">{bars}{marks}</div>'
    )


def _place(span: Span, duration_s: float) -> str:
    start, stop = (100 * min(1.0, max(0.0, own / duration_s)) for own in span)
    return f"left:{start:.2f}%;width:{stop - start:.2f}%"


def join_near(spans: Sequence[Span], gap_s: float) -> list[Span]:
    """Spans, those joined that are no further apart.

    >>> join_near([(0, 1), (1.2, 2), (4, 5)], 0.5)
    [(0, 2), (4, 5)]
    """
    joined: list[Span] = []
    for start, stop in spans:
        if joined and start - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined
