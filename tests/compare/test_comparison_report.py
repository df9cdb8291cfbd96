"""The report of a comparison, from rows alone."""

import json
import re

import numpy as np
import pytest

from separation.compare.comparison import Comparison, ModelInfo, ScoredSet
from separation.compare.report import (
    describe_quality,
    describe_verdict,
    find_rate,
    name_metric,
    write_comparison,
)
from separation.compare.summary import choose_metric, compute_figures
from separation.errors import UserError
from separation.evaluation.score_rows import ScoreRow, parse_score_row
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.models.published import PublishedModel
from separation.reports.page import Block, Table, blocks_to_html, blocks_to_markdown

RATE = 8000
EVIL = "<script>alert('x')</script>|&co"
SET_NAME = "Libri2Mix test, min, 8 kHz, sep_clean"
PUBLISHED = PublishedModel(
    name="someone/known", hub="someone/known", revision="", size=0, sha256="", zenodo="",
    zenodo_name="", sample_rate=RATE, n_src=2, task="sep_clean", test_set=SET_NAME[:-11],
    licence="CC BY-SA 4.0", scores={"si_sdr": 9.0, "si_sdri": 9.5, "sdr": 9.9, "stoi": 0.9},
)  # fmt: skip
RATE_NOTE = "its stored rate is wrong."


def make_rows(gains, n_src: int = 2, **columns) -> list[ScoreRow]:
    rows = []
    for k, gain in enumerate(gains):
        row = {"mixture_ID": f"m{k:02d}", "pair": ("same-sex", "different-sex")[k % 2]}
        row |= {f"speaker_{s}_ID": f"voice{(k + s) % 5}" for s in range(1, n_src + 1)}
        row |= {"n_samples": 4000, "duration_s": 0.5, "level_difference_db": k, "overlap": 0.8}
        row |= {"audio": f"a{k}", "permutation": " ".join(map(str, range(n_src))), "problems": ""}
        row |= {"input_si_sdr": -0.1 * k, "si_sdr": gain - 0.1 * k, "si_sdri": gain}
        row |= {"input_sdr": 0.2, "sdr": gain + 0.2, "sdri": gain + 0.1}
        row |= {name: own[k] for name, own in columns.items()}
        rows.append(parse_score_row(row))
    return rows


def change(row: ScoreRow, **columns) -> ScoreRow:
    """The row with other columns."""
    return parse_score_row(row.as_cells() | columns)


def make_unscored(mixture_id: str, problem: str) -> ScoreRow:
    return ScoreRow(mixture_id=mixture_id, problems=(problem,))


def make_set(name: str = "my set", n: int = 12, n_src: int = 2, **changes) -> ScoredSet:
    wave = np.sin(np.arange(n))
    rows = {
        "mixture": make_rows(np.zeros(n), n_src),
        "irm": make_rows(np.full(n, 12.0), n_src),
        "ibm": make_rows(np.full(n, 11.0), n_src),
        "A": make_rows(6 + wave, n_src),
        "B": make_rows(5 + wave + 0.1 * wave**2, n_src),
    }
    kept = {"name": name, "kind": "audio", "sample_rate": RATE, "n_src": n_src}
    return ScoredSet(**(kept | {"n_mixtures": n, "fingerprint": "f" * 16, "rows": rows} | changes))


def make_models(*names: str, published: str = "") -> list[ModelInfo]:
    return [
        ModelInfo(
            name=name,
            sha256=name[0] * 64,
            sample_rate=RATE,
            n_src=2,
            published=PUBLISHED if name == published else None,
        )
        for name in names
    ]


def compare(sets: list[ScoredSet], models: list[ModelInfo], **kwargs) -> Comparison:
    about = {"commit": "abc", **kwargs}
    return Comparison(sets=sets, models=models, metrics=("si_sdr", "sdr"), about=about)


def mix(mixture_id: str, sources: np.ndarray) -> tuple[Mixture, np.ndarray]:
    row = parse_row({"mixture_ID": mixture_id})
    mixture = sources.sum(axis=0)
    return Mixture(row=row, sample_rate=RATE, mixture=mixture, sources=sources), sources


def render(set_name: str, estimator: str, mixture_id: str) -> tuple[Mixture, np.ndarray]:
    sources = np.random.default_rng(0).normal(size=(2, 800)).astype(np.float32) / 10
    return mix(mixture_id, sources)


def write(tmp_path, comparison: Comparison, **kwargs) -> tuple[str, dict, str]:
    options = {"render": render, "n_worst": 0} | kwargs  # players take most of the time
    paths = write_comparison(tmp_path, comparison, **options)
    assert [path.name for path in paths] == [f"comparison.{s}" for s in ("md", "json", "html")]
    markdown, figures, page = (path.read_text() for path in paths)
    return markdown, json.loads(figures), page


def test_matrix_holds_floor_models_ceilings_and_published_values(tmp_path):
    sets = [make_set("one"), make_set("two", fingerprint="e" * 16)]
    comparison = compare(sets, make_models("A", "B", published="A"))
    markdown, figures, page = write(tmp_path, comparison)
    assert "| SI-SDRi, dB | one | two | published, on its own set |" in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("| mixture (floor)")]
    assert lines[0] == "| mixture (floor) | 0.00 [0.00, 0.00] | 0.00 [0.00, 0.00] | – |"
    row = next(line for line in markdown.splitlines() if line.startswith("| A | 6."))
    mean = 6 + np.sin(np.arange(12)).mean()
    assert row.startswith(f"| A | {mean:.2f} [") and row.endswith(f"| 9.50 ({SET_NAME}) |")
    assert "| IRM (oracle) | 12.00 [12.00, 12.00]" in markdown and "SDRi, dB" in markdown
    assert "f" * 16 in markdown and "e" * 16 in page and "| 8000 |" in markdown
    found = figures["sets"][0]["estimators"]["A"]["all"]["si_sdri"]
    assert found["mean"] == pytest.approx(mean, abs=1e-4) and figures["about"]["commit"] == "abc"


def test_how_good_is_told_against_the_best_oracle_and_the_published_set():
    models = make_models("A", published="A")
    noisy = make_set(standard=(SET_NAME[:-5] + "noisy",))
    other, same = (
        describe_quality(compute_figures(compare([own], models), 1))[0]
        for own in (noisy, make_set(standard=(SET_NAME,)))
    )
    assert re.search(
        r"A on my set: SI-SDRi 6\.03 \[.* dB, 50 % of the way .*\(IRM, 12\.00 dB\)", other
    )
    assert f"published, on its own set: {SET_NAME}: 9.50 dB, not comparable" in other
    assert re.search(r"published on this very set: 9\.50 dB, off by -3\.47 dB\.$", same)


def test_speakers_are_drawn_too_and_rare_ones_not_called_bad(tmp_path):
    own = make_set(n=12)
    own.rows["A"][4] = change(own.rows["A"][4], speaker_1_ID="rare", si_sdri=-9.0)
    markdown, figures, _ = write(tmp_path, compare([own], make_models("A")))
    wide = figures["sets"][0]["speaker_intervals"]["A"]
    assert wide["n"] == 6 and wide["low"] < wide["mean"] < wide["high"]
    reported = f"{wide['mean']:.2f} [{wide['low']:.2f}, {wide['high']:.2f}]"
    assert f"| A | {reported} | – |" in markdown, "the interval that draws speakers is reported"
    assert "- my set: 12 mixtures of only 5 speakers: the interval draws speakers" in markdown
    assert "A: lowest of 5 speakers in 3 mixtures or more" in markdown and "rare -9" not in markdown


def test_a_model_below_the_mixture_and_one_without_scores_are_told():
    own = make_set()
    own.rows["A"] = make_rows(np.full(12, -2.0))
    own.rows["B"] = [make_unscored("m00", "zero-estimate")]
    told = describe_quality(compute_figures(compare([own], make_models("A", "B")), 1))
    assert "worse than the unprocessed mixture" in told[0] and "% of the way" not in told[0]
    assert told[1] == "B on my set: no mixture could be scored."


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "holds zero"), (5.0, "A is better"), (-5.0, "B is better")]
)
def test_nothing_is_called_better_or_worse_where_the_interval_holds_zero(tmp_path, shift, verdict):
    """Of 240 mixtures of five people the interval over mixtures left zero out."""
    own = make_set(n=240)
    gains = 5 + np.sin(np.arange(240))
    pairs = [len({k % 5, (k + 1) % 5} & {0, 1}) for k in range(240)]  # two voices carry it all
    differences = np.array(pairs) * 1.5 - 1.0
    own.rows["A"] = make_rows(gains + differences + shift)
    own.rows["B"] = make_rows(gains)
    figures = compute_figures(compare([own], make_models("A", "B")), 1)
    (pair,) = figures.sets[0].paired
    assert verdict in describe_verdict(pair), pair
    markdown, _, page = write(tmp_path, compare([own], make_models("A", "B")))
    for text in (markdown, page):
        assert ("is better" in text) == (shift != 0.0), "a verdict that the interval denies"
    if shift == 0.0:
        assert pair.difference.low > 0 or pair.difference.high < 0, "mixtures alone would say so"


def test_a_gain_whose_interval_holds_zero_is_not_called_worse():
    own = make_set()
    own.rows["A"] = make_rows(np.tile([-5.0, 4.0], 6))
    (said,) = describe_quality(compute_figures(compare([own], make_models("A")), 1))
    assert "not clearly different from the unprocessed mixture" in said and "worse" not in said


def test_paired_differences_of_all_pairs_and_against_the_best():
    own = make_set()

    def compare_pairs(*models: str) -> list:
        return compute_figures(compare([own], make_models(*models)), 1).sets[0].paired

    (pair,) = compare_pairs("A", "B")
    assert (pair.a, pair.b) == ("A", "B")
    found = pair.difference
    assert found.n == 12 and found.p_value < 0.01 and found.wins == 12
    names = [f"model{k}" for k in range(5)]
    own.rows.update({name: make_rows(np.arange(12) + k) for k, name in enumerate(names)})
    found = compare_pairs(*names)
    assert [(pair.a, pair.b) for pair in found] == [("model4", name) for name in names[3::-1]]
    assert len(compare_pairs(*names[:4])) == 6


def test_every_note_stands_at_the_top(tmp_path):
    own = make_set(notes=("its input SI-SDR is odd.",), notes_of={"A": ("resampled to 16000 Hz.",)})
    own.rows["B"] = make_rows(np.ones(12), audio=["other"] * 12)
    own.rows["B"][3] = make_unscored("m03", "unreadable")
    second = ModelInfo(name="B", sha256="b", sample_rate=16000, n_src=2, notes=(RATE_NOTE,))
    models = [*make_models("A"), second]
    markdown, figures, _ = write(tmp_path, compare([own], models))
    top = markdown[: markdown.index("## How good")]
    for note in (
        "my set: its input SI-SDR is odd.",
        "my set, A: resampled to 16000 Hz.",
        "B: its stored rate is wrong.",
        "have the same ID and other audio",
        "my set, B: 11 of 12 mixtures have values",
    ):
        assert note in top, note
    assert figures["sets"][0]["estimators"]["B"]["all"]["problems"] == {"unreadable": ["m03"]}
    assert "| my set | B | unreadable | 1 | m03 |" in markdown


def test_problems_are_explained(tmp_path):
    own = make_set()
    own.rows["A"][2] = make_unscored("m02", "silent-reference")
    markdown, _, _ = write(tmp_path, compare([own], make_models("A")))
    assert "| my set | A | silent-reference | 1 | m02 |" in markdown
    assert re.search(r"- silent-reference: \w+", markdown)


def test_page_is_self_contained_and_escapes_names(tmp_path):
    own = make_set(EVIL, notes=(EVIL,))
    own.rows[EVIL] = own.rows.pop("A")
    worst = change(own.rows[EVIL][0], speaker_1_ID=EVIL, mixture_ID=EVIL, si_sdri=-9.0)
    own.rows[EVIL][0] = worst
    markdown, _, page = write(tmp_path, compare([own], make_models(EVIL), by=EVIL), n_worst=2)
    assert "<script>alert" not in page and "&lt;script&gt;alert(" in page
    assert not re.search(r"(src|href)=[\"'](?!data:)|https?://|url\(|@import", page)
    assert page.count("<audio") == page.count("data:audio/flac;base64,") == 2 * 5
    tables = [line for line in markdown.splitlines() if line.startswith("|") and "script" in line]
    assert tables and all("</script>\\|&co" in line for line in tables)


def test_players_follow_the_permutation_and_the_level(tmp_path, monkeypatch):
    own, shown = make_set(n=1), []
    own.rows["A"][0] = change(own.rows["A"][0], permutation="1 0")

    def render_swapped(*names):
        mixture, estimates = render(*names)
        return mixture, 5 * estimates[::-1]

    monkeypatch.setattr(
        "separation.compare.report.show_signals",
        lambda title, signals, rate, *rest: shown.append((signals, rate)) or "",
    )
    write(tmp_path, compare([own], make_models("A")), n_worst=1, render=render_swapped)
    (mixture, *signals), rate = shown[0]
    samples = [signal.samples for signal in signals]
    assert [signal.name for signal in signals[::2]] == ["reference 1", "estimate 1"]
    assert np.allclose(samples[2:], samples[:2], atol=1e-5) and rate == RATE
    assert np.allclose(mixture.samples, sum(samples[:2]), atol=1e-5)


@pytest.mark.parametrize("kind", [UserError, RuntimeError, IndexError])
def test_worst_mixture_whose_audio_has_gone(tmp_path, kind):
    """Anything but a UserError ended the report, after hours of scoring."""

    def fail(*names):
        raise kind("mix/m01.wav: has gone; <put> it back.")

    _, _, page = write(tmp_path, compare([make_set()], make_models("A")), n_worst=1, render=fail)
    assert "mix/m01.wav: has gone; &lt;put&gt; it back." in page and "<audio" not in page


def test_long_and_very_short_mixtures_have_players(tmp_path):
    def render_of(n_samples):
        signals = np.random.default_rng(0).normal(size=(2, n_samples)).astype(np.float32) / 9
        return lambda *names: mix("a", signals)

    comparison = compare([make_set(n=1)], make_models("A"))
    _, _, page = write(tmp_path, comparison, n_worst=1, render=render_of(20 * RATE))
    assert page.count("(the first 15.0 s)</h3>") == 1 and page.count("<audio") == 5
    _, _, page = write(tmp_path, comparison, n_worst=1, render=render_of(40))
    assert page.count("<audio") == 5


def test_three_speakers_one_mixture_and_other_metrics(tmp_path):
    own = make_set(n=1, n_src=3)
    for rows in own.rows.values():
        rows[0] = change(rows[0], stoi=0.81234, stoii=0.1, input_stoi=0.7, sar=8.0)
    metrics = ("stoi", "si_sdr", "sar")
    comparison = Comparison(sets=[own], models=make_models("A", "B"), metrics=metrics)

    def render_three(*names):
        signals = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32) / 10
        return mix("m00", signals)

    markdown, figures, page = write(tmp_path, comparison, n_worst=1, render=render_three)
    assert "| voice1, voice2, voice3 |" in markdown and page.count(">estimate 3</span>") == 2
    assert "| A | 0.812 (no interval) |" in markdown and "| STOI | my set |" in markdown
    assert "| SAR, dB | my set |" in markdown and figures["metric"] == "si_sdri"
    assert choose_metric(("stoi",)) == "stoii" and choose_metric(("sar",)) == "sar"
    assert name_metric("stoii") == "STOIi" and name_metric("sar") == "SAR"


def test_cost_of_sixteen_bits(tmp_path):
    own = make_set(n=4)
    own.rows["A"] = [
        change(row, si_sdr_16bit=row.values["si_sdr"] - 0.5 * k, n_clipped=100 * k)
        for k, row in enumerate(own.rows["A"])
    ]
    markdown, figures, _ = write(tmp_path, compare([own], make_models("A", "B")))
    assert re.search(
        r"my set, A: 0\.750 \[.*\] dB of SI-SDR are lost, 3 mixture\(s\) clip, the worst m03 with"
        r" 1\.50 dB\.",
        markdown,
    )
    assert list(figures["sets"][0]["sixteen_bit"]) == ["A"]


def test_nan_is_refused(tmp_path):
    own = make_set()
    own.rows["A"][1] = ScoreRow(mixture_id="m01", values={"si_sdri": float("nan")})
    with pytest.raises(ValueError, match="m01"):
        write(tmp_path, compare([own], make_models("A")))


def test_rate_of_a_row():
    row = ScoreRow(mixture_id="m00", n_samples=8001, duration_s=8001 / 44100)
    assert find_rate(row, RATE) == 44100
    assert find_rate(ScoreRow(mixture_id="m00"), RATE) == RATE


def test_blocks_take_no_text_for_markup():
    blocks = [Block("h2", "a\n# b"), Table(["<h>"], [["x|y\nz"]]), Block("list", ["<b>"])]
    text = blocks_to_markdown(blocks)
    assert text == "## a # b\n\n| <h> |\n|---|\n| x\\|y z |\n\n- <b>\n"
    page = blocks_to_html(blocks)
    assert "<td>x|y z</td>" in page and ">&lt;h&gt;</th>" in page and "<li>&lt;b&gt;</li>" in page
