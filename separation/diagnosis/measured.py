"""What changes were worth where that was measured: benchmarks/ladder, as the package ships it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from separation.files import read_json, write_json
from separation.records import build_record

MEASURED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, kw_only=True)
class MeasuredGain:
    """The mean SI-SDRi of one rung less that of another, on the same mixtures.

    Attributes:
        rung, over: names of the two rungs.
        mean_db, low_db, high_db: the gain, with the 95 % interval that draws speakers.
        n_speakers: of the test set, never heard in training.
        hours: of mixtures that each was trained on.
        steps: of training.
    """

    rung: str
    over: str
    mean_db: float
    low_db: float
    high_db: float
    n_speakers: int
    hours: float
    steps: int

    @property
    def is_shown(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low_db > 0


def write_measured(path: Path, gains: Mapping[str, MeasuredGain]) -> None:
    """Write gains by the name of the change."""
    write_json(path, {name: asdict(gain) for name, gain in gains.items()})


@cache
def read_measured(path: Path = MEASURED) -> dict[str, MeasuredGain]:
    """Gains by the name of the change."""
    return {
        name: build_record(MeasuredGain, values, f"{path}: {name}")
        for name, values in read_json(path).items()
    }
