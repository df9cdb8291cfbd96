"""Both catalogues of sentences have the same codes and placeholders, and every draft is in them."""

import re
import string
from pathlib import Path

import pytest

from separation.diagnosis.draft import Draft, Gain, Shown
from separation.diagnosis.measured import read_measured
from separation.diagnosis.sentences import LANGUAGES, Writer, read_sentences
from separation.errors import UserError
from tests.conftest import ROOT

ROOM = ROOT / "separation" / "diagnosis"


def flatten(texts: dict, path: str = "") -> dict[str, str]:
    """``section.code.key`` -> text."""
    flat = {}
    for name, own in texts.items():
        if isinstance(own, dict):
            flat |= flatten(own, f"{path}{name}.")
        else:
            flat[path + name] = own
    return flat


def list_fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_codes_and_placeholders():
    english, chinese = (flatten(read_sentences(name)) for name in LANGUAGES)
    assert english.keys() == chinese.keys()
    for code, text in english.items():
        assert list_fields(text) == list_fields(chinese[code]), code


def test_chinese_is_chinese():
    for code, text in flatten(read_sentences("zh")).items():
        words = re.sub(r"\{[^}]*\}", "", text)
        assert re.search(r"[\u4e00-\u9fff]", words) or len(words) < 14, code


def test_every_code_of_a_check_is_in_the_catalogue_and_the_other_way_round():
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOM.glob("*.py")))
    texts = read_sentences("en")
    for section in ("findings", "evidence"):
        for code in texts[section]:
            stem = code.removeprefix("trait_").removeprefix("other_size_")
            stem = stem.removeprefix("published_") if stem != "published_better" else stem
            assert f'"{stem}"' in source, code
    named = set(re.findall(r'code="(\w+)"', source)) - {"curves", "mixtures"}
    known = {*texts["findings"], *texts["evidence"], *texts["plots"]}
    assert named <= known


def test_every_measured_change_has_words():
    assert read_measured().keys() == read_sentences("en")["changes"].keys()


def test_what_was_measured_is_quoted_with_its_interval_and_budget():
    worth = Writer("en").write_worth(Gain(measured="dynamic_mixing"))
    own = read_measured()["dynamic_mixing"]
    assert worth.measured
    assert (worth.low_db, worth.mean_db, worth.high_db) == (1.36, 1.65, 1.95)
    for text in ("measured", "rung c against b", "[1.36, 1.95]", f"{own.hours:g} h", "52 adults"):
        assert text in worth.source


def test_a_gain_whose_interval_holds_zero_was_not_shown():
    worth = Writer("en").write_worth(Gain(measured="field"))
    assert "it brought nothing" in worth.source


def test_the_rest_is_expected_and_not_measured():
    worth = Writer("en").write_worth(Gain(0.5, 1.5))
    assert (worth.measured, worth.middle_db) == (False, 1.0)
    assert worth.source == "expected, not measured"
    assert Writer("zh").write_worth(Gain(0.5, 1.5)).source == "预期值，未经实测"


def test_a_language_that_is_not_there_is_named():
    with pytest.raises(UserError, match="language"):
        Writer("fr")


def test_a_finding_carries_the_options_of_its_command():
    draft = Draft(code="overfit_failed", kind="fault", command=("overfit",), opens=True)
    finding = Writer("en", ("--recipe", "a/B", "--tag", "c d")).write_finding(draft)
    assert finding.change.command.endswith("separation overfit --recipe a/B --tag 'c d'")


def test_a_number_that_is_not_finite_is_left_out_of_a_plot():
    from separation.diagnosis.draft import Line, PlotDraft

    plot = PlotDraft(code="curves", lines=(Line("dev", ((1, 2.0), (2, float("nan")))),))
    values = {"train": 1.0, "dev": 2.0}
    evidence = Writer("zh").write_evidence(Shown(code="losses", values=values, plot=plot))
    assert evidence.plot.series[0].points == ((1.0, 2.0),)
    assert evidence.plot.series[0].name == "开发集"


def test_the_numbers_shipped_are_those_of_the_benchmark():
    from benchmarks.ladder.measured import measure
    from benchmarks.ladder.page import RESULTS
    from separation.diagnosis.measured import MEASURED

    assert read_measured(MEASURED) == measure(RESULTS)
    assert Path(MEASURED).parent == ROOM
