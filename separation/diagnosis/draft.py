"""What a check says before it is put into words: codes, numbers, and what to change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from separation.diagnosis.finding import Kind

Values = Mapping[str, object]  # of the placeholders of a sentence


@dataclass(frozen=True)
class Line:
    """A line or bar of a plot: a name, which the catalogue may translate, and its points."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class PlotDraft:
    """A plot whose title and labels are the catalogue's ``plots.CODE``."""

    code: str
    lines: tuple[Line, ...]
    kind: Literal["lines", "bars"] = "lines"
    x_log: bool = False


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A piece of evidence, the catalogue's ``evidence.CODE``."""

    code: str
    values: Values = field(default_factory=dict)
    plot: PlotDraft | None = None


@dataclass(frozen=True)
class Gain:
    """What a change would bring.

    Attributes:
        low_db, high_db: what is expected; None: no figure.
        measured: name of a change that was measured, which then counts instead.
        ours: what was measured on the user's own mixtures: mean, low, high.
    """

    low_db: float | None = None
    high_db: float | None = None
    measured: str = ""
    ours: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A finding without its words.

    Attributes:
        code: the catalogue's ``findings.CODE``.
        kind: as :class:`~separation.diagnosis.finding.Finding` has it.
        values: of the placeholders of title, explanation and change.
        evidence: what was measured.
        keys: ``(section.key, value)`` to change.
        command: words of a command of ``separation`` that does it; empty: none.
        opens: whether the command takes the options that open the experiment.
        gain: None where it cannot be said in decibels.
    """

    code: str
    kind: Kind
    values: Values = field(default_factory=dict)
    evidence: tuple[Shown, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    opens: bool = False
    gain: Gain | None = None
