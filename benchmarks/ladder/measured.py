"""What the measured ladder says a change is worth, as `separation diagnose` quotes it.

    .venv/bin/python -m benchmarks.ladder.measured

Writes separation/diagnosis/measured.json from benchmarks/results/ladder/*.json.
"""

from pathlib import Path

from benchmarks.ladder.page import LADDER, RESULTS, TEST
from separation.ablate.ladder import read_ladder
from separation.ablate.result import read_results
from separation.ablate.steps import RungFigures, measure_gain, measure_rungs
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
    rungs = measure_rungs(read_ladder(LADDER), read_results(folder))
    by_name = {rung.first.rung: rung for rung in rungs}
    return {
        name: _measure_change(by_name[rung], by_name[over])
        for name, (rung, over) in CHANGES.items()
    }


def _measure_change(own: RungFigures, below: RungFigures) -> MeasuredGain:
    gain = measure_gain(own.results, below.results, TEST)
    assert gain is not None and gain.mean is not None, "both rungs have results"
    assert gain.low is not None and gain.high is not None, "their speakers are known"
    return MeasuredGain(
        rung=own.first.rung,
        over=below.first.rung,
        before=below.first.label,
        after=own.first.label,
        mean_db=round(gain.mean, 2),
        low_db=round(gain.low, 2),
        high_db=round(gain.high, 2),
        n_speakers=gain.n,
        hours=round(own.first.hours, 1),
        steps=own.first.steps,
    )


if __name__ == "__main__":
    write_measured(MEASURED, measure(RESULTS))
