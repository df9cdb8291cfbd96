"""The command ``compare``: models x test sets, one scorer, with floor and ceilings.

Everything that could be wrong is looked at first; then each estimator is scored on each set into
``OUT/<set>/<estimator>.csv``, going on where an earlier call stopped; then the report is written.
"""

import sys
from typing import TYPE_CHECKING

from separation.compare.options import Options, add_options
from separation.files import check_writable, hold_folder
from separation.options import parse_corpus

if TYPE_CHECKING:
    from separation.compare.comparison import Comparison
    from separation.compare.scores import Plan

__all__ = ["Options", "add_options", "run"]
SCORES_TITLE = "## Scores"  # of comparison.md


def run(options: Options) -> int:
    """Score every model on every test set, write the report, print its table.

    Returns:
        1 where mixtures could not be scored or the scorer is not mir_eval's equal, else 0.

    Raises:
        UserError: anything wrong with options, models or sets, before the first mixture is scored.
    """
    from separation.datasets.open import check_text

    for text in options.test_sets:
        check_text(text)
    check_writable(options.out, "choose another with --out")
    from separation.cluster import use_cluster
    from separation.compare.scores import make_plan

    roots = [parse_corpus(text)[1] for text in options.corpora]
    with use_cluster(options.cluster, [options.out], roots):
        plan = make_plan(options)
        with hold_folder(options.out, "compare"):
            comparison, complaints = plan.score()
            _report(plan, comparison, options.n_worst)
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _report(plan: "Plan", comparison: "Comparison", n_worst: int) -> None:
    from separation.compare.report import write_comparison

    sets = {eval_set.name: eval_set for eval_set in plan.sets}

    def render(set_name: str, estimator: str, mixture_id: str) -> tuple:
        return plan.estimators.separate(sets[set_name], estimator, mixture_id)

    paths = write_comparison(plan.out, comparison, render, n_worst)
    print(cut_section(paths[0].read_text(encoding="utf-8"), SCORES_TITLE), flush=True)
    print("\n".join(map(str, paths)), flush=True)


def cut_section(text: str, title: str) -> str:
    """One section of a report in Markdown, without its title.

    >>> cut_section("# A\\n## B\\n| 1 |\\n## C\\n", "## B")
    '| 1 |\\n'
    """
    return text.partition(f"{title}\n")[2].partition("\n## ")[0] + "\n"
