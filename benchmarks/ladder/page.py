"""Puts the measured ladder, and what it says of the guesses, into docs/what-limits-separation.md.

    .venv/bin/python -m benchmarks.ladder.page

Both tables, and the waterfall beside the results, are made of benchmarks/results/ladder/*.json.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from separation.ablate.ladder import read_ladder
from separation.ablate.report import NOTE, format_origin, format_rungs, write_report
from separation.ablate.result import read_results
from separation.ablate.steps import RungFigures, measure_gain, measure_rungs
from separation.environment import ROOT
from separation.errors import UserError
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.summary import format_interval
from separation.files import write_text
from separation.text import format_table

LADDER = Path(__file__).with_name("speech.yml")
RESULTS = ROOT / "benchmarks" / "results" / "ladder"
PAGE = ROOT / "docs" / "what-limits-separation.md"
BEGIN, END = "<!-- table: benchmarks.ladder.page -->", "<!-- end of the table -->"
TEST = "adults"


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What the first analysis thought a cause was worth.

    Attributes:
        cause: in words.
        low, high: dB.
        rung, over: the difference of these two says what it was; empty: no two do.
        grows: whether the upper rung would gain more than the lower one from further training, so
            that the difference is a lower bound.
    """

    cause: str
    low: float
    high: float
    rung: str = ""
    over: str = ""
    grows: bool = False

    def decide(self, gain: MeanInterval | None) -> str:
        """Refuted where the interval does not meet the guess; confirmed where the mean lies in it
        and the interval is above zero; else not decided. A lower bound below a guess refutes
        nothing."""
        if gain is None or gain.mean is None or gain.low is None or gain.high is None:
            return "not decided"
        if gain.high < self.low and self.grows:
            return f"not decided: at least {gain.low:.1f} dB"
        if gain.high < self.low or gain.low > self.high:
            return "refuted"
        is_within = self.low <= gain.mean <= self.high
        return "confirmed" if is_within and gain.low > 0 else "not decided"


GUESSES = (
    Guess(cause="data quantity", low=5, high=6, rung="f", over="b", grows=True),
    Guess(cause="data set", low=1, high=2),
    Guess(cause="model, small for large", low=1, high=2, rung="j", over="h", grows=True),
    Guess(cause="length of segments", low=0.5, high=1, rung="g", over="f"),
    Guess(cause="receptive field, 0.64 s for 1.28 s", low=0.5, high=1, rung="b", over="a"),
)


def format_guesses(rungs: list[RungFigures]) -> str:
    """Each guess with what was measured, and whether it held."""
    results = {rung.first.rung: rung.results for rung in rungs}
    rows = []
    for guess in GUESSES:
        gain = measure_gain(results.get(guess.rung, ()), results.get(guess.over, ()), TEST)
        compared = f"{guess.rung} over {guess.over}" if guess.rung else "no two rungs"
        guessed = f"{guess.low:g} to {guess.high:g} dB"
        rows.append([guess.cause, guessed, compared, format_interval(gain), guess.decide(gain)])
    return format_table(["cause", "guess", "rungs", f"measured, {TEST}", ""], rows)


def fill_page(text: str, results: Path) -> str:
    """The page with the table of these results between its marks.

    Raises:
        UserError: the marks are not there, or the results do not fit.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{PAGE}: has no line {BEGIN} with {END} below it; put them back.")
    rungs = measure_rungs(read_ladder(LADDER), read_results(results))
    blocks = ["Not measured yet."]
    if rungs:
        blocks = [format_rungs(rungs), NOTE, format_origin(rungs), format_guesses(rungs)]
    return f"{head}{BEGIN}\n" + "\n\n".join(blocks) + f"\n{END}{tail}"


def main() -> int:
    """Make table and waterfall anew, and fill the page."""
    try:
        write_text(PAGE, fill_page(PAGE.read_text(encoding="utf-8"), RESULTS))
        print(write_report(read_ladder(LADDER), RESULTS))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
