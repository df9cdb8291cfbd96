"""Stage 6's page and RESULTS.md: what they say, in which words, and the commands they print."""

import dataclasses
import importlib
import re
import shlex
from string import Formatter

import numpy as np
import pytest

from separation.cli.commands import COMMANDS
from separation.cli.main import build_parser, parse_words
from separation.environment import format_run
from separation.evaluation.score_rows import format_scores_csv
from separation.evaluation.summary import Summary, summarise
from separation.experiment.experiment import Experiment
from separation.experiment.open import open_experiment
from separation.files import write_text
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.reports import results, training_report
from separation.reports.results import format_results
from separation.reports.sanity import describe_overfit, list_baseline_options
from separation.reports.training_report import TrainingReport
from separation.reports.words import CATALOGUES, Words
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


RUN = dict.fromkeys(("commit", "seed", "conf_fingerprint", "device", "python"), "x")
RUN |= {"recipe": "folder/ConvTasNet", "fingerprints": {"test": "aa"}, "versions": {}}
ABOUT = {"test": "aa", "audio_test": "bb", "checkpoint_sha256": "cc"}


@pytest.fixture
def evaluated(experiment, monkeypatch) -> Experiment:  # noqa: F811
    return prepare(experiment, monkeypatch)


def prepare(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> Experiment:  # noqa: F811
    """Scored, with a model that gives the sources."""
    write_text(experiment.folder.scores("test", "model"), format_scores_csv(ROWS))
    curves = "epoch,step,elapsed_s,train_loss,dev_loss,lr\n0,70,60.0,-2,-1,0.001\n"
    experiment.folder.curves.write_text(f"{curves}1,140,120.0,-4,-1.5,0.001\n")
    monkeypatch.setattr(training_report, "open_split", lambda _, split: Mixtures())
    monkeypatch.setattr(training_report, "load_model", lambda path: None)
    monkeypatch.setattr(
        training_report, "make_model_estimator", lambda *args: lambda mixture: mixture.sources
    )
    monkeypatch.setattr(results, "compare_fingerprints", lambda _: {})
    return experiment


def make_report(scored: Experiment, rows=ROWS, **kwargs) -> TrainingReport:
    summary = Summary(ABOUT, {"test": {"model": summarise(rows)}})
    return TrainingReport(experiment=scored, summary=summary, run=RUN, **kwargs)


def test_page_shows_where_it_is_bad_and_three_mixtures(evaluated):
    page = make_report(evaluated).format()
    assert ">same sex</th>" in page and "<td>2.00</td>" in page and ">of 4</td>" in page
    assert "test, the worst: m07 -2.00, m06 -1.00, m05 0.00, m04 1.00, m03 2.00." in page
    assert "best: 5.00 dB · m00" in page and "worst: -2.00 dB · m07" in page
    assert page.count("<audio") == 3 * 5 and page.count("data:audio/flac;base64,") == 3 * 5
    examples = make_report(evaluated).show_examples()
    assert examples.count('class="player"') == 3 and "m08" not in examples


def test_page_names_tag_and_recipe_and_refers_to_nothing_outside(evaluated):
    page = make_report(evaluated).format()
    assert f"· {evaluated.folder.tag}</title>" in page and "recipe folder/ConvTasNet · tag" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)|https?://|url\(|@import""", page)
    assert 'name="viewport"' in page and "prefers-color-scheme:dark" in page
    assert page.index('class="first"') < page.index("<svg") < page.index("<pre>")
    assert "`" not in re.sub(r"<script>.*</script>", "", page, flags=re.S)


@pytest.mark.parametrize(("dynamic", "said"), [(True, "mixed anew"), (False, "a fixed list")])
def test_curves_are_called_what_was_trained_on(evaluated, dynamic, said):
    training = dataclasses.replace(evaluated.conf.training, dynamic_mixing=dynamic)
    evaluated.conf = dataclasses.replace(evaluated.conf, training=training)
    assert f"training, {said}" in make_report(evaluated).show_training()


def test_few_people_have_no_interval_and_that_is_said(evaluated):
    """All pairs of one set are of anna and bea: an interval over mixtures would claim too much."""
    report = make_report(evaluated)
    (card,) = report.list_cards()
    assert "1.50" in card.to_html() and "no interval" in card.to_html()
    assert "8 mixtures of only 2 speakers: too few people" in card.to_html()
    text = format_results(evaluated, report.summary, RUN)
    assert "| test | model | 1.50 (no interval) |" in text
    assert "test: 8 mixtures of only 2 speakers" in text


def test_results_name_what_has_no_score(evaluated):
    text = format_results(evaluated, make_report(evaluated).summary, RUN)
    assert "test, model: silent-reference in 1 mixture(s): m08." in text and "| 8 of 9 |" in text


def test_a_model_without_any_score_has_no_examples(evaluated):
    path = evaluated.folder.scores("test", "model")
    write_text(path, format_scores_csv([ROWS[-1]]))
    report = make_report(evaluated, [ROWS[-1]])
    assert report.show_mixtures() == report.show_examples() == ""
    assert results.describe_gap(report.summary, Words()) == "" and report.format()


def test_the_page_in_chinese_has_no_english_left(evaluated):
    conf = dataclasses.replace(evaluated.conf.report, language="zh", title="折叠")
    evaluated.conf = dataclasses.replace(evaluated.conf, report=conf)
    page = make_report(evaluated).format()
    assert '<html lang="zh">' in page and "分离效果" in page and "重跑同一实验" in page
    shown = re.sub(r"<(script|style|pre|code)[ >].*?</\1>", "", page, flags=re.S)
    words = set(re.findall(r"\b[a-z]{3,}\b", re.sub(r"<[^>]*>", " ", shown)))
    names = {"test", "model", "silent", "reference", "run", "json", "conf", "yml", "default"}
    assert words <= names | {"folder", "anna", "bea"}, words
    text = format_results(evaluated, make_report(evaluated).summary, RUN)
    assert "测试集：" in text and "重跑同一实验：" in text


def test_both_catalogues_have_the_same_keys_and_values():
    english, chinese = CATALOGUES["en"], CATALOGUES["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        fields = [{field for _, field, _, _ in Formatter().parse(own[key]) if field} for own in
                  (english, chinese)]  # fmt: skip
        assert fields[0] == fields[1], key
        assert text and chinese[key]


def open_printed(name: str, command: list[str]) -> Experiment:
    """The experiment that a printed command works on, by the command line's own parser."""
    begin = command.index("run.sh" if name == "run" else name) + 1
    module = importlib.import_module(COMMANDS[name].module)
    values = parse_words(build_parser(name, COMMANDS[name], module), command[begin:])
    return module.Options(**COMMANDS[name].fixed, **values).open_experiment()


@pytest.mark.parametrize("tag", ["default", "longer"])
def test_printed_commands_open_the_very_experiment(tmp_path, tag):
    """They left out the options of the run, and ended with exit code 2 when pasted."""
    speech = tmp_path / "my speech"
    speech.mkdir()
    made = open_experiment(
        "folder/ConvTasNet",
        ["training.lr=0.002", "model.n_blocks=4"],
        tag=tag,
        corpora=[f"speech={speech}"],
        data=tmp_path / "data",
        exp=tmp_path / "exp",
        device="cpu",
    )
    options = made.list_options()
    overfit = shlex.split(describe_overfit(made).split("`")[1])
    for name, command in (("overfit", overfit), ("run", shlex.split(format_run(*options)))):
        opened = open_printed(name, command)
        assert opened.folder == made.folder and opened.conf == made.conf
        assert opened.data == made.data and opened.roots == made.roots
    opened = open_printed("run", shlex.split(format_run(*list_baseline_options(made))))
    assert opened.conf.model.name == "STFTMask" and opened.data == made.data
    assert opened.conf.training.lr == 0.002
