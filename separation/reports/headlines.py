"""Scores of an experiment with the intervals that are reported, from its tables of mixtures."""

from separation.evaluation.headline import measure_headline
from separation.evaluation.intervals import pick_values
from separation.evaluation.score_rows import read_scores
from separation.evaluation.summary import SHOWN_METRICS, Headlines, Summary
from separation.experiment.folder import ExperimentFolder


def read_headlines(folder: ExperimentFolder, summary: Summary) -> Headlines:
    """Means by test set and estimator, then metric; nothing of tables that are not there.

    Raises:
        UserError: a table holds what is no number.
    """
    headlines = {}
    for test_set, estimators in summary.scores.items():
        for name in estimators:
            path = folder.scores(test_set, name)
            rows = read_scores(path) if path.is_file() else []
            headlines[test_set, name] = {
                metric: measure_headline(rows, metric)
                for metric in SHOWN_METRICS
                if pick_values(rows, metric)
            }
    return headlines
