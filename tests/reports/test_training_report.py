"""Stage 6's page where some mixtures have no scores: what it says of where a model is bad."""

import numpy as np
import pytest

from separation.evaluation.score_rows import format_scores_csv
from separation.evaluation.summary import Summary, summarise
from separation.experiment.experiment import Experiment
from separation.files import write_text
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.reports import training_report as report
from tests.evaluation.test_breakdown import make_row
from tests.reports.test_sanity import experiment  # noqa: F401 a fixture

ROWS = [make_row(f"m{k:02d}", 5.0 - k, pair=("same-sex", "different-sex")[k % 2]) for k in range(8)]
ROWS.append(make_row("m08", None))


class Mixtures:
    rows = tuple(
        parse_row(
            {"mixture_ID": row.mixture_id}
            | {f"speaker_{k}_ID": name for k, name in enumerate(row.speakers, 1)}
        )
        for row in ROWS
    )

    def __getitem__(self, index):
        sources = np.random.default_rng(index).normal(size=(2, 800)).astype(np.float32) / 10
        return Mixture(
            row=self.rows[index], sample_rate=8000, mixture=sources.sum(axis=0), sources=sources
        )


@pytest.fixture
def evaluated(experiment, monkeypatch) -> Experiment:  # noqa: F811
    path = experiment.folder.scores("test", "model")
    write_text(path, format_scores_csv(ROWS))
    monkeypatch.setattr(report, "open_split", lambda _, split: Mixtures())
    monkeypatch.setattr(report, "load_model", lambda path: None)
    monkeypatch.setattr(report, "make_model_estimator", lambda *args: lambda m: m.sources)
    return experiment


def test_page_shows_where_it_is_bad_and_three_mixtures(evaluated):
    page = "\n".join(report._show_mixtures(evaluated))
    assert "<td>same-sex</td><td>2.00 of 4</td>" in page
    assert "test, the worst: m07 -2.00, m06 -1.00, m05 0.00, m04 1.00, m03 2.00." in page
    assert "best: 5.00 dB, m00" in page and "worst: -2.00 dB, m07" in page
    assert page.count("<audio") == 3 * 5 and "m08" not in page


def test_results_name_what_has_no_score(evaluated, monkeypatch):
    monkeypatch.setattr(report, "compare_fingerprints", lambda _: {})
    run = dict.fromkeys(("commit", "seed", "conf_fingerprint", "device", "python"), "x")
    run |= {"recipe": "folder/ConvTasNet", "fingerprints": {"test": "aa"}, "versions": {}}
    about = {"test": "aa", "audio_test": "bb", "checkpoint_sha256": "cc"}
    summary = Summary(about, {"test": {"model": summarise(ROWS)}})
    text = report.format_results(evaluated, summary, run)
    assert "test, model: silent-reference in 1 mixture(s): m08." in text and "| 8 of 9 |" in text


def test_a_model_without_any_score_has_no_examples(evaluated):
    path = evaluated.folder.scores("test", "model")
    write_text(path, format_scores_csv([ROWS[-1]]))
    assert report._show_mixtures(evaluated) == []
    only = Summary({}, {"test": {"model": summarise([ROWS[-1]])}})
    assert report.describe_gap(only) == ""
