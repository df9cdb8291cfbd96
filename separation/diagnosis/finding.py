"""Findings of a diagnosis: what limits a run, how that shows, what to change, what that is worth.

Texts are of the language in which they were asked for. A diagnosis is written as JSON and read
again as the same record.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from separation.files import read_json, write_json
from separation.records import build_record

Kind = Literal["fault", "limit", "note"]


@dataclass(frozen=True)
class Series:
    """One line of a plot.

    Attributes:
        name: for the legend.
        points: ``(x, y)``, in the order in which they are joined.
    """

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A small plot.

    Attributes:
        title: in a few words.
        x_label, y_label: with units.
        series: the lines, or with ``kind="bars"`` the bars, whose x is their place.
        kind: ``lines``, or ``bars``: a series a bar, of one point.
        x_log: whether x is better shown on a logarithmic axis.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    kind: Literal["lines", "bars"] = "lines"
    x_log: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measured thing.

    Attributes:
        label: what was measured.
        value: formatted, with its unit.
        plot: the same to look at; None where a number says it all.
    """

    label: str
    value: str
    plot: Plot | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What to do about a finding.

    Attributes:
        text: in words.
        keys: ``(section.key, value)`` of the config, as ``--set`` takes them.
        command: that does it, or the next thing to look at; None where keys or words say all.
    """

    text: str
    keys: tuple[tuple[str, str], ...] = ()
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a change would bring.

    Attributes:
        low_db, high_db: SI-SDRi; of what was measured the 95 % interval that draws speakers. None
            where no figure can be given.
        source: which experiment at which budget, or ``expected, not measured`` and why.
        measured: whether it was measured.
        mean_db: of what was measured.
    """

    low_db: float | None
    high_db: float | None
    source: str
    measured: bool
    mean_db: float | None = None

    @property
    def middle_db(self) -> float:
        """The measured mean, or the middle of what is expected; 0 where there is no figure."""
        if self.mean_db is not None:
            return self.mean_db
        if self.low_db is None or self.high_db is None:
            return 0.0
        return (self.low_db + self.high_db) / 2


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that limits a run, or is worth knowing.

    Attributes:
        code: its name in the catalogues of sentences.
        kind: ``fault``: no score can be trusted, or made better, before it is fixed; ``limit``:
            it costs decibels; ``note``: nothing is wrong.
        title: one short sentence.
        explanation: why that limits separation.
        evidence: what was measured.
        change: what to do; None where there is nothing to do.
        worth: what that would bring; None where it cannot be said in decibels.
    """

    code: str
    kind: Kind
    title: str
    explanation: str
    evidence: tuple[Evidence, ...] = ()
    change: Change | None = None
    worth: Worth | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What limits an experiment.

    Attributes:
        experiment: its folder, or the recipe where nothing was trained yet.
        findings: faults, then limits, then notes; within a kind in the order of what they bring.
        facts: all that was looked at.
        language: of the texts, ``en`` or ``zh``.
    """

    experiment: str
    findings: tuple[Finding, ...]
    facts: tuple[Evidence, ...]
    language: str = "en"

    @property
    def healthy(self) -> bool:
        """Whether there is neither a fault nor a limit."""
        return all(finding.kind == "note" for finding in self.findings)

    @property
    def causes(self) -> tuple[Finding, ...]:
        """The findings that are no mere notes."""
        return tuple(finding for finding in self.findings if finding.kind != "note")


def write_diagnosis(path: Path, diagnosis: Diagnosis) -> None:
    """Write a diagnosis as JSON, whole or not at all."""
    write_json(path, asdict(diagnosis) | {"healthy": diagnosis.healthy})


def read_diagnosis(path: Path) -> Diagnosis | None:
    """Read what :func:`write_diagnosis` wrote; None where there is no such file.

    Raises:
        UserError: the file is no diagnosis.
    """
    record = read_json(path)
    if record is None:
        return None
    return build_record(Diagnosis, {k: v for k, v in record.items() if k != "healthy"}, str(path))
