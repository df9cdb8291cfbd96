"""What hard conditions cost, where that was measured: ``benchmarks/recording_reports``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from separation.files import read_json
from separation.records import build_record

MEASURED = Path(__file__).with_name("consequences.json")


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """The shipped model's mean SI-SDRi on mixtures of two held-out speakers in one condition.

    Attributes:
        code: of the finding.
        level: of the condition, in its unit; 0 where it has none.
        value_db: SI-SDRi.
        clean_db: of the same mixtures without the condition.
        n: mixtures.
        about: further values of the sentence, as texts or numbers.
    """

    code: str
    level: float
    value_db: float
    clean_db: float
    n: int
    about: Mapping[str, str | float]


@cache
def read_consequences(path: Path = MEASURED) -> tuple[Consequence, ...]:
    """All that were measured; none where there is no such file."""
    rows = read_json(path) or []
    return tuple(build_record(Consequence, row, str(path)) for row in rows)


def find_consequence(code: str, level: float) -> Consequence | None:
    """The one of a finding whose level is nearest."""
    known = [own for own in read_consequences() if own.code == code]
    return min(known, key=lambda own: abs(own.level - level), default=None)
