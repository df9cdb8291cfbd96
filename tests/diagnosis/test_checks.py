"""Every check by itself, on plain numbers: what it finds, and what it leaves alone."""

import dataclasses
import math

import pytest

from separation.diagnosis import data, evaluation, model, training
from separation.diagnosis.diagnose import diagnose_figures, drop_effects, list_drafts
from separation.diagnosis.figures import (
    BandFigures,
    BaselineFigures,
    ComparedFigures,
    DataFigures,
    Epoch,
    Figures,
    ModelFigures,
    OverfitFigures,
    SumFigures,
    TestFigures,
    TrainingFigures,
    Trait,
    ValidationFigures,
)
from separation.diagnosis.scores import find_traits, measure_test
from separation.evaluation.intervals import MeanInterval
from tests.evaluation.test_breakdown import make_row

GOOD_DATA = DataFigures(speakers=300, utterances=30000, speech_h=80.0, trained=1_000_000)
GOOD_MODEL = ModelFigures(
    parameters=5_100_000, kernel=16, stride=8, field=12256, blocks=8, repeats=3
)
SHORT_MODEL = ModelFigures(
    sample_rate=16000, parameters=1_472_157, kernel=40, stride=20, field=10200, blocks=7, repeats=2
)


def make_training(train: list[float], dev: list[float], **settings) -> TrainingFigures:
    """Epochs of 1,000 steps; SI-SDRi on dev is SI-SDR."""
    rates = settings.pop("rates", [1e-3] * len(dev))
    epochs = tuple(
        Epoch(
            number=n,
            step=1000 * (n + 1),
            train_db=train[n],
            dev_db=dev[n],
            dev_gain_db=dev[n],
            lr=rates[n],
            skipped=settings.get("skipped", 0),
        )
        for n in range(len(dev))
    )
    settings.pop("skipped", None)
    return TrainingFigures(epochs=epochs, **settings)


def make_test(mean: float, name: str = "test", half: float = 0.5, **values) -> TestFigures:
    gain = MeanInterval(40, mean, mean - half, mean + half)
    return TestFigures(name=name, n_mixtures=300, gain=gain, **({"n_speakers": 40} | values))


FLAT = make_training(
    [4, 8, 10, 11, 11.6, 12, 12.1, 12.2],
    [4, 7.9, 9.8, 10.8, 11.3, 11.5, 11.5, 11.5],
    rates=[1e-3] * 4 + [5e-4] * 2 + [1e-4] * 2,
)
GOOD = Figures(
    experiment="exp/a",
    data=GOOD_DATA,
    model=GOOD_MODEL,
    training=FLAT,
    band=BandFigures(sample_rate=8000, edges_hz=(3900.0,) * 9),
    overfit=OverfitFigures(passed=True, sentence="22 dB."),
    tests={"test": make_test(11.3, input_db=0.0)},
)


def list_codes(**changes) -> list[str]:
    """Faults and limits of the sound run with one thing changed, in their order."""
    return [own.code for own in diagnose_figures(dataclasses.replace(GOOD, **changes)).causes]


def test_a_sound_run_has_neither_fault_nor_limit():
    diagnosis = diagnose_figures(GOOD)
    assert diagnosis.healthy and diagnosis.findings[0].code == "healthy"
    assert {"size", "segment"}.isdisjoint(own.code for own in diagnosis.findings)


FALLING = make_training([4, 8, 9, 2], [4, 7, 8, 1])
RISING = make_training([1, 3, 4, 5, 5.6, 6], [1, 2.9, 3.9, 4.9, 5.4, 5.9])
APART = make_training([4, 9, 14, 18, 21, 22], [4, 6, 6.5, 6.2, 5.4, 4.7])
FROM_THE_START = make_training([6, 8, 9, 9.5, 9.6, 9.6], [3.5, 5.5, 6.5, 6.9, 7, 7])
NOT_LOWERED = make_training([9, 9.9, 10, 10, 10, 10.1], [9, 9.8, 9.9, 9.9, 9.9, 9.9])
COMPARED = ComparedFigures(
    name="a/B",
    test_set="test.csv",
    ours=8.0,
    theirs=11.0,
    difference=MeanInterval(300, -3.0, -3.4, -2.6),
    published_db=14.8,
    published_set="Libri2Mix",
    is_published_set=False,
)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("overfit_failed", {"overfit": OverfitFigures(passed=False, sentence="no gradient.")}),
        ("targets", {"sums": SumFigures(split="dev", likenesses=(0.02, 0.05, -0.01))}),
        ("targets", {"tests": {"test": make_test(3.0, input_db=-28.0)}}),
        ("band", {"band": BandFigures(sample_rate=16000, edges_hz=(3950.0,) * 8 + (7900.0,))}),
        ("diverged", {"training": FALLING}),
        ("diverged", {"training": make_training([4, math.nan], [4, math.nan])}),
        ("diverged", {"training": make_training([4, 5], [4, 5], skipped=150)}),
        ("diverged", {"training": make_training([-9, -8], [-9, -7], lr=0.3)}),
        ("nothing_learned", {"training": make_training([0, 0.1, 0.1], [0, 0.1, 0.1])}),
        (
            "validation",
            {"validation": ValidationFigures(n_mixtures=9, n_concerned=2, faults=(("sum", 2),))},
        ),
        ("little_data", {"data": dataclasses.replace(GOOD_DATA, speakers=5, speech_h=0.2)}),
        (
            "little_speech",
            {"data": dataclasses.replace(GOOD_DATA, speech_h=2.0), "training": APART},
        ),
        (
            "unseen_speakers",
            {
                "tests": {
                    "test_seen": make_test(12.0, "test_seen"),
                    "test_unseen": make_test(8.0, "test_unseen"),
                }
            },
        ),
        ("overfitted", {"training": APART}),
        (
            "overfitted_fixed",
            {"training": APART, "data": dataclasses.replace(GOOD_DATA, dynamic=False, listed=800)},
        ),
        ("dev_differs", {"training": FROM_THE_START}),
        ("stopped_early", {"training": RISING}),
        (
            "planned_short",
            {
                "training": dataclasses.replace(RISING, annealed=True, may_go_on=False),
            },
        ),
        ("rate_never_lowered", {"training": NOT_LOWERED}),
        ("field_rate", {"model": SHORT_MODEL}),
        ("field", {"model": dataclasses.replace(GOOD_MODEL, field=1600)}),
        (
            "baseline",
            {
                "baseline": BaselineFigures(
                    split="test",
                    tag="a",
                    ours=MeanInterval(300, 8.0, 7.6, 8.4),
                    theirs=MeanInterval(300, 8.2, 7.8, 8.6),
                )
            },
        ),
        ("published_better", {"compared": (COMPARED,)}),
    ],
)
def test_one_thing_changed_in_a_sound_run_is_the_first_finding(code, changes):
    codes = list_codes(**changes)
    assert codes[:1] == [code], codes
    assert len(codes) == 1, codes


def test_what_was_measured_on_these_mixtures_is_quoted():
    finding = diagnose_figures(dataclasses.replace(GOOD, compared=(COMPARED,))).findings[0]
    assert (finding.worth.low_db, finding.worth.mean_db, finding.worth.high_db) == (2.6, 3.0, 3.4)
    assert finding.change.keys == (("training.init_from", "a/B"),)


def test_a_harder_set_is_no_fault_of_the_model():
    harder = dataclasses.replace(COMPARED, ours=11.2)
    found = diagnose_figures(dataclasses.replace(GOOD, compared=(harder,)))
    assert found.healthy and "data_harder" in [own.code for own in found.findings]
    published = dataclasses.replace(harder, is_published_set=True)
    found = diagnose_figures(dataclasses.replace(GOOD, compared=(published,)))
    assert "on_published_set" in [own.code for own in found.findings]


def test_the_466_db_run_overfitted_to_little_data_of_few():
    """The project's first run: 22 dB in training, 4.7 on dev."""
    heard = DataFigures(
        mix="aishell3mix",
        sample_rate=16000,
        dynamic=False,
        segment_s=2.0,
        speakers=20,
        utterances=1000,
        speech_h=0.97,
        listed=800,
        listed_h=0.44,
        trained=48000,
    )
    codes = list_codes(data=heard, training=APART, model=SHORT_MODEL)
    assert set(codes[:2]) == {"overfitted_fixed", "little_data"} or codes[0] == "little_data"
    assert "fixed_mixing" in codes or "overfitted_fixed" in codes
    assert codes[-1] == "field_rate"


def test_a_rate_that_was_lowered_or_a_run_that_ended_itself_is_let_be():
    assert training.check_rate_never_lowered(FLAT) is None
    assert (
        training.check_stopped_early(dataclasses.replace(RISING, ended_itself=True), GOOD_DATA)
        is None
    )


def test_a_dev_curve_that_recovers_is_not_still_rising():
    recovering = make_training([5.2, 4, 3.8, 3.9, 4.3, 4.9], [5.2, 4, 3.8, 3.9, 4.3, 4.9])
    assert training.check_stopped_early(recovering, GOOD_DATA) is None


def test_the_gap_has_its_epoch():
    assert training.find_parting(APART) == 1
    draft = training.check_overfitted(APART, GOOD_DATA)
    assert draft.values["since"] == 1 and draft.values["best"] == 2
    assert {own.code for own in draft.evidence} >= {"gap", "parting", "past_best"}


def test_a_rise_is_per_doubling_of_steps():
    steps = (1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000)
    epochs = tuple(
        Epoch(number=n, step=step, train_db=0.0, dev_db=2 * math.log2(step))
        for n, step in enumerate(steps)
    )
    assert training.measure_rise(epochs) == pytest.approx(2.0)
    assert training.measure_rise(epochs[:2]) is None


def test_losses_that_do_not_compare_say_nothing_of_overfitting():
    """SepReformer's training loss is of its early estimates too."""
    assert training.check_overfitted(dataclasses.replace(APART, compares=False), GOOD_DATA) is None


def test_the_field_is_frames_times_stride():
    shown = model.show_field(SHORT_MODEL).values
    assert (shown["frames"], shown["samples"]) == (509, 10200)
    assert shown["seconds"] == pytest.approx(0.6375)
    draft = model.check_field(SHORT_MODEL)
    assert draft.values["mistaken_ms"] == pytest.approx(31.8, abs=0.02)
    assert draft.keys == (("model.kernel_rate", "8000"),)


def test_an_unbounded_field_is_not_short():
    assert model.check_field(dataclasses.replace(GOOD_MODEL, field=None)) is None


def test_three_speakers_and_noise_have_lower_floors():
    tests = [make_test(5.0, input_db=-6.0)]
    assert data.check_targets(dataclasses.replace(GOOD_DATA, n_src=3), None, tests, None) is None
    assert data.check_targets(dataclasses.replace(GOOD_DATA, noisy=True), None, tests, None) is None


def test_failures_are_a_note_with_what_they_share():
    failing = make_test(6.0, worse=0.2, traits=(Trait("same_sex", "", 0.9, 0.5),))
    draft = evaluation.check_failures([failing])
    assert draft.kind == "note"
    assert [own.code for own in draft.evidence] == ["failures", "trait_same_sex"]
    assert evaluation.check_failures([make_test(6.0)]) is None


def test_traits_are_those_that_failures_have_more_often():
    rows = [make_row(f"a{n}", -2.0, pair="same-sex") for n in range(12)]
    rows += [make_row(f"b{n}", 9.0, pair="same-sex") for n in range(8)]
    rows += [make_row(f"c{n}", 9.0, pair="different-sex") for n in range(40)]
    figures = measure_test("test", rows, None)
    assert figures.worse == pytest.approx(0.2)
    traits = {trait.code: trait for trait in figures.traits}
    assert traits["same_sex"].share == 1.0
    assert traits["same_sex"].share_all == pytest.approx(1 / 3)
    assert find_traits(rows[:3], rows) == ()


def test_a_score_of_unknown_speakers_names_no_number_of_them():
    assert evaluation.show_score(make_test(5.0, n_speakers=0)).code == "score_mixtures"
    assert evaluation.show_score(make_test(5.0)).code == "score_interval"


def test_few_test_speakers_and_another_test_set_are_notes():
    assert evaluation.check_few_test_speakers([make_test(5.0, n_speakers=4)]).kind == "note"
    assert evaluation.check_few_test_speakers([make_test(5.0)]) is None
    assert evaluation.check_test_differs([make_test(7.0)], FLAT).kind == "note"
    assert evaluation.check_test_differs([make_test(11.0)], FLAT) is None


def test_a_cause_takes_its_effects_along():
    figures = dataclasses.replace(GOOD, overfit=OverfitFigures(passed=False, sentence="x."))
    drafts = list_drafts(dataclasses.replace(figures, training=make_training([0] * 3, [0] * 3)))
    assert "nothing_learned" in [own.code for own in drafts]
    assert "nothing_learned" not in [own.code for own in drop_effects(drafts)]


def test_faults_come_before_limits_and_these_by_worth():
    codes = list_codes(
        model=SHORT_MODEL,
        band=BandFigures(sample_rate=16000, edges_hz=(3900.0,) * 4),
        data=dataclasses.replace(GOOD_DATA, speakers=20, dynamic=False, listed=800),
        training=None,
    )
    assert codes == ["band", "fixed_mixing", "little_data", "field_rate"]


def test_another_models_overfit_verdict_counts_for_nothing():
    verdict = OverfitFigures(passed=False, sentence="x.", same_model=False)
    assert list_codes(overfit=verdict) == []
