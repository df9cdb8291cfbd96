"""What the measured ladder says a change is worth, as `separation diagnose` quotes it.

    .venv/bin/python -m benchmarks.ladder.measured

Writes separation/diagnosis/measured.json from benchmarks/results/ladder/*.json.
"""

from pathlib import Path

from benchmarks.ladder.page import RESULTS, TEST
from separation.ablate.result import RungResult, read_results
from separation.ablate.steps import measure_gain
from separation.diagnosis.measured import MEASURED, MeasuredGain, write_measured

CHANGES = {  # name of a change -> the rung that has it, and the one that has not
    "dynamic_mixing": ("c", "b"),
    "utterances": ("d", "c"),
    "speakers": ("e", "c"),
    "segment": ("g", "f"),
    "speeds": ("h", "g"),
    "best_model": ("j", "h"),
    "field": ("b", "a"),
}


def measure(folder: Path) -> dict[str, MeasuredGain]:
    """The gain of every change, on the first test set."""
    by_rung: dict[str, list[RungResult]] = {}
    for result in read_results(folder):
        by_rung.setdefault(result.rung, []).append(result)
    return {
        name: _measure_change(by_rung[rung], by_rung[over])
        for name, (rung, over) in CHANGES.items()
    }


def _measure_change(own: list[RungResult], below: list[RungResult]) -> MeasuredGain:
    gain = measure_gain(own, below, TEST)
    assert gain is not None and gain.mean is not None, "both rungs have results"
    assert gain.low is not None and gain.high is not None, "their speakers are known"
    return MeasuredGain(
        rung=own[0].rung,
        over=below[0].rung,
        mean_db=round(gain.mean, 2),
        low_db=round(gain.low, 2),
        high_db=round(gain.high, 2),
        n_speakers=gain.n,
        hours=round(own[0].hours, 1),
        steps=own[0].steps,
    )


if __name__ == "__main__":
    write_measured(MEASURED, measure(RESULTS))
