"""AISHELL-3-mix: parsers on real lines, the draw's promises, the whole way with a bad corpus."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from local import aishell3
from separation.audio.loudness import measure_loudness_lufs
from separation.audio.resample import resample_fast
from separation.config.load import load_conf
from separation.corpora.splits import assign_splits, limit_training
from separation.corpora.table import Utterance
from separation.errors import MissingInputError, UserError
from separation.experiment.fingerprints import compare_fingerprints, read_fingerprints
from separation.experiment.open import open_experiment
from separation.files import read_json, read_rows
from separation.mixtures.draw.speaker_groups import draw_balanced_groups, draw_groups
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import parse_row
from tests.conftest import ROOT
from tests.mixtures.test_draw_librimix import make_utterance
from tests.support.aishell3_tree import REAL_CONTENT, make_speech, write_tree

RECIPE = "aishell3mix/ConvTasNet_small"
FEW = {
    "splits.n_dev_speakers": 4,
    "splits.n_test_speakers": 4,
    "mixtures.n_dev": 24,
    "mixtures.n_test": 24,
}
SMALL_MODEL = {
    "model.n_filters": 64,
    "model.bn_chan": 24,
    "model.hid_chan": 48,
    "model.skip_chan": 24,
    "model.n_blocks": 4,
    "model.n_repeats": 1,
    "training.compile": "off",
    "training.num_workers": 0,
}


def sets(**changes) -> list[str]:
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("aishell3")
    write_tree(folder)
    return folder


def stage(call, corpus: Path, folder: Path, number: int, *more: str, recipe=RECIPE, **changes):
    """Stages 0 to ``number`` of the recipe; returns what was printed."""
    places = ("--data", folder / "data", "--exp", folder / "exp", "--device", "cpu")
    command = ("bash", "run.sh", "--recipe", recipe, "--corpus", f"aishell3={corpus}", *places)
    done = call(*command, "--stop-stage", str(number), *sets(**(FEW | changes)), *more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_real_lines_of_content_and_speakers(tmp_path):
    lines = [REAL_CONTENT, "SSB00050002.wav\t尊 zhun1 重 zhong4 科 ke1 学 xue2"]
    lines.append("SSB00010003.wav\t九 jiu3 点儿 dianr3 一 yi1 七 qi1")  # two characters, one sound
    (tmp_path / "content.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert aishell3.read_contents(tmp_path / "content.txt") == {
        "SSB00050001.wav": "广州女大学生登山失联四天警方找到疑似女尸",
        "SSB00050002.wav": "尊重科学",
        "SSB00010003.wav": "九点儿一七",
    }
    table = "# comment\n\nSSB0005\tB\tfemale\tnorth\nSSB0073\tB\tmale\tnorth\n"
    table += "SSB0011\tC\tfemale\tnorth\n"
    (tmp_path / "spk-info.txt").write_text(table, encoding="utf-8")
    speakers = aishell3.read_speakers(tmp_path / "spk-info.txt")
    assert {name: (s.sex, s.age_group, s.accent) for name, s in speakers.items()} == {
        "SSB0005": ("F", "B", "north"),
        "SSB0073": ("M", "B", "north"),
        "SSB0011": ("F", "C", "north"),
    }
    (tmp_path / "spk-info.txt").write_text("SSB0005 B female\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1 should be speaker"):
        aishell3.read_speakers(tmp_path / "spk-info.txt")


def test_recordings_of_the_real_layout(corpus, tmp_path):
    recordings = aishell3.list_recordings(corpus)
    assert len(recordings) == 120
    assert recordings[0].path == "train/wav/SSB0005/SSB00050001.wav"
    first = recordings[0]
    assert (first.sex, first.age, first.accent, first.subset) == ("F", "B", "south", "train")
    assert (first.utterance, first.transcript) == ("SSB00050001", "你好1")
    assert {r.speaker for r in recordings if r.subset == "test"} == {r.speaker for r in recordings}
    (tmp_path / "mine").symlink_to(corpus)
    assert aishell3.find_root(tmp_path / "mine") == tmp_path / "mine"
    (tmp_path / "data_aishell3").symlink_to(corpus)
    assert aishell3.find_root(tmp_path) == tmp_path / "data_aishell3"
    with pytest.raises(MissingInputError, match=r"holds no spk-info\.txt"):
        aishell3.find_root(tmp_path / "no")


def test_whole_corpus_has_no_faults_and_a_small_one_a_remark(corpus):
    found = aishell3.check_corpus(corpus, aishell3.list_recordings(corpus))
    assert found.faults == []
    assert any("80 utterances where 63262" in remark for remark in found.remarks)
    assert any("20 speakers, 10 of them women" in remark for remark in found.remarks)


@pytest.mark.slow
def test_recipe_goes_the_whole_way_past_bad_files_and_learns(call, tmp_path):
    corpus = tmp_path / "corpus"
    paths = write_tree(corpus)
    missing, corrupt, silent, copy, low_rate, clipped = paths[3:75:12]
    missing.unlink()
    corrupt.write_bytes(b"RIFF" + bytes(range(200)))
    soundfile.write(silent, np.zeros(88200), 44100)
    shutil.copy(paths[0], copy)
    soundfile.write(low_rate, make_speech(1, "M", 2.0)[::3], 14700)
    soundfile.write(clipped, np.clip(9 * make_speech(2, "M", 3.0), -1, 1), 44100)
    places = ("--data", tmp_path / "data", "--exp", tmp_path / "exp", "--device", "cpu")
    command = ("bash", "egs/aishell3mix/ConvTasNet_small/run.sh", "--corpus", f"aishell3={corpus}")
    command += (*places, *sets(**FEW, **SMALL_MODEL))

    refused = call(*command)
    assert refused.returncode == 2 and f"{missing}: is not there" in refused.stdout
    short = {"training.epoch_mixtures": 160, "training.epochs": 4, "training.batch_size": 8}
    short |= {"training.segment_s": 1.5, "corpus.skip_bad": "true", "training.lr": 0.003}
    done = call(*command, *sets(**short))
    assert done.returncode == 0, done.stdout
    audit = read_json(tmp_path / "data/aishell3mix/audit.json")
    assert audit["left_out"] == {"unusable": 1, "silent": 1, "a copy": 1}
    assert audit["clipped"] == [clipped.relative_to(corpus).as_posix()]
    assert audit["speakers_in_several_subsets"] == 20
    experiment = tmp_path / "exp/aishell3mix/ConvTasNet_small/default"
    gain = -min(float(row["dev_loss"]) for row in read_rows(experiment / "curves.csv"))
    dev = open_experiment(RECIPE, [], corpora=[f"aishell3={corpus}"], data=tmp_path / "data")
    table = read_rows(dev.data.mixture_table("dev"))
    assert len(table) == 24
    scores = read_json(experiment / "evaluation/summary.json")["scores"]["test"]
    mixture = scores["mixture"]["all"]["input_si_sdr"]["mean"]
    assert gain > mixture + 2, (gain, mixture)
    results = (experiment / "RESULTS.md").read_text()
    assert f"| {RECIPE} | drawn-2spk test, 8000 Hz |" in results
    assert "rendered audio at 8000 Hz: test `" in results


@pytest.mark.long
def test_another_file_order_and_worker_count_give_the_same_lists(call, corpus, tmp_path):
    """Copied in another order, into another folder, with one process in place of two."""
    other = tmp_path / "copy"
    for path in sorted(corpus.rglob("*"), reverse=True):
        if path.is_file():
            target = other / path.relative_to(corpus)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    prints = [
        {line.strip() for line in text.splitlines() if "fingerprint" in line}
        for text in (
            stage(call, corpus, tmp_path / "a", 2, "--nj", "2"),
            stage(call, other, tmp_path / "b", 2, "--nj", "1"),
        )
    ]
    assert len(prints[0]) == 3 and prints[0] == prints[1]
    tables = [tmp_path / name / "data/aishell3mix" for name in "ab"]
    assert (tables[0] / "corpus.csv").read_text() == (tables[1] / "corpus.csv").read_text()


def test_lists_have_librimixs_columns_and_the_loudness_they_ask_for(call, corpus, tmp_path):
    stage(call, corpus, tmp_path, 2)
    rows = read_rows(tmp_path / "data/aishell3mix/metadata/test.csv")
    columns = list(rows[0])
    assert columns[:5] == [
        "mixture_ID",
        *(f"source_{k}_{x}" for k in (1, 2) for x in ("path", "gain")),
    ]
    assert {"source_1_transcript", "source_2_transcript"} <= set(columns)
    for row in rows[:6]:
        for k in (1, 2):
            samples, rate = soundfile.read(corpus / row[f"source_{k}_path"], dtype="float32")
            own = measure_loudness_lufs(samples * float(row[f"source_{k}_gain"]), rate)
            assert abs(own - float(row[f"source_{k}_loudness_lufs"])) < 0.02
    speakers = {row[f"speaker_{k}_ID"]: row[f"speaker_{k}_sex"] for row in rows for k in (1, 2)}
    assert Counter(speakers.values()) == {"F": 2, "M": 2}


@pytest.mark.long
def test_fixed_length_level_difference_and_few_speakers(call, corpus, tmp_path):
    """The plan of the original analysis: pieces of 3 s, of 6 speakers with 4 utterances each."""
    changes = {
        "splits.n_train_speakers": 6,
        "splits.n_train_utterances": 4,
        "mixtures.n_train": 30,
        "mixtures.train_length_s": 3.0,
        "mixtures.train_level_by": "difference",
        "mixtures.train_level_difference_min_db": -2.0,
        "mixtures.train_level_difference_max_db": 4.0,
    }
    stage(call, corpus, tmp_path, 2, **changes)
    data = tmp_path / "data/aishell3mix"
    train = [row for row in read_rows(data / "corpus.csv") if row["split"] == "train"]
    assert Counter(Counter(row["speaker"] for row in train).values()) == {4: 6}
    assert Counter({row["speaker"]: row["sex"] for row in train}.values()) == {"F": 3, "M": 3}
    rows = read_rows(data / "metadata/train.csv")
    assert len(rows) == 30
    joined = [row for row in rows if "|" in row["source_1_path"] + row["source_2_path"]]
    assert joined  # no utterance here has 3.2 s, most have less than 3
    differences = []
    for row in rows:
        mixture = render_mixture(parse_row(row), Corpora(corpus), 8000)
        assert mixture.sources.shape == (2, 24000)
        power = (mixture.sources.astype(np.float64) ** 2).mean(axis=1)
        differences.append(10 * np.log10(power[0] / power[1]))
        assert abs(differences[-1] - float(row["level_difference_2_db"])) < 0.02
    assert -2 <= min(differences) < 0 < max(differences) <= 4


def test_joined_pieces_are_the_samples_of_their_utterances(call, corpus, tmp_path):
    changes = {"mixtures.n_train": 12, "mixtures.train_length_s": 3.0}
    stage(call, corpus, tmp_path, 2, **changes)
    for row in read_rows(tmp_path / "data/aishell3mix/metadata/train.csv"):
        paths = row["source_1_path"].split("|")
        whole = np.concatenate([soundfile.read(corpus / p, dtype="float32")[0] for p in paths])
        start, count = int(row["source_1_start"]), int(row["source_1_n_samples"])
        clip = Corpora(corpus).open_source(parse_row(row).sources[0])
        assert count == clip.n_samples == 3 * 44100
        assert np.array_equal(clip.read(count, 1.0), whole[start : start + count])
        assert np.array_equal(clip.read(1000, 0.5), 0.5 * whole[start : start + 1000])


def test_original_plans_variants_ask_for_their_numbers():
    small = load_conf(ROOT, f"{RECIPE}/800x2s", [])
    assert (small.splits.n_train_speakers, small.splits.n_train_utterances) == (20, 50)
    assert (small.mixtures.n_train, small.mixtures.train_length_s) == (800, 2.0)
    assert not small.training.dynamic_mixing and small.training.segment_s == 2.0
    large = load_conf(ROOT, f"{RECIPE}/10000x4s", [])
    assert (large.splits.n_train_speakers, large.splits.n_train_utterances) == (100, 100)
    assert (large.mixtures.n_train, large.mixtures.train_length_s) == (10000, 4.0)


@pytest.mark.long
def test_variant_with_its_own_data_keeps_the_tests_of_its_recipe(call, corpus, tmp_path):
    few = {"splits.n_train_speakers": 6, "mixtures.n_train": 20}
    own = stage(call, corpus, tmp_path, 2, recipe=f"{RECIPE}/800x2s", **few)
    common = stage(call, corpus, tmp_path, 2)
    assert (tmp_path / "data/aishell3mix/800x2s/metadata/train.csv").is_file()
    prints = [
        {line for line in text.splitlines() if "24 mixtures, finger" in line}
        for text in (own, common)
    ]
    assert len(prints[0]) == 2 and prints[0] == prints[1]
    assert "going on after 120 files" in common  # the corpus is measured once for all variants


@pytest.mark.long
def test_three_speakers_with_any_noise_folder(call, corpus, tmp_path):
    noise = tmp_path / "noise"
    noise.mkdir()
    for number in range(20):
        samples = 0.1 * np.random.default_rng(number).standard_normal((4 * 16000, 2))
        soundfile.write(noise / f"n{number}.flac", samples, 16000)
    changes = SMALL_MODEL | {
        "mixtures.n_src": 3,
        "mixtures.task": "sep_noisy",
        "corpus.noise": "noise",
        "splits.n_dev_speakers": 6,
        "splits.n_test_speakers": 6,
        "mixtures.n_dev": 4,
        "mixtures.n_test": 4,
        "training.epoch_mixtures": 4,
        "training.epochs": 1,
        "training.segment_s": 1.0,
        "training.speed_min": 0.9,
        "training.speed_max": 1.1,
        "mixtures.train_level_by": "difference",
    }
    text = stage(call, corpus, tmp_path, 6, "--corpus", f"noise={noise}", **changes)
    assert "| test | model |" in text
    rows = read_rows(tmp_path / "data/aishell3mix/drawn-3spk-noisy/metadata/test.csv")
    women = [sum(row[f"speaker_{k}_sex"] == "F" for k in (1, 2, 3)) for row in rows]
    assert women == [3, 2, 0, 1]
    corpora = Corpora(corpus, noise)
    mixture = render_mixture(parse_row(rows[0]), corpora, 16000, "max", "mix_both")
    assert np.abs(mixture.mixture - mixture.sources.sum(axis=0)).max() > 0.001  # there is noise


def make_table(women: int, men: int, each: int) -> list[Utterance]:
    sexes = ["F"] * women + ["M"] * men
    return [
        make_utterance(f"{speaker:03d}-{item}", f"S{speaker:03d}", sex, 2.0 + item, split="")
        for speaker, sex in enumerate(sexes)
        for item in range(each)
    ]


counts = st.tuples(st.integers(6, 12), st.integers(6, 12), st.integers(2, 6))


@settings(max_examples=25, deadline=None)
@given(counts, st.randoms(use_true_random=False), st.integers(0, 3))
def test_splits_are_disjoint_balanced_and_blind_to_order(sizes, shuffler, seed):
    overrides = [*(f"{k}={v}" for k, v in FEW.items()), f"splits.seed={seed}"]
    conf = load_conf(ROOT, RECIPE, overrides).splits
    table = make_table(*sizes)
    shuffled = table.copy()
    shuffler.shuffle(shuffled)
    splits = assign_splits(table, conf)
    assert splits == assign_splits(shuffled, conf)
    by_speaker = {(row.speaker, row.sex): row.split for row in splits}
    assert len(by_speaker) == len({row.speaker for row in table})
    for split in ("dev", "test"):
        assert Counter(sex for (_, sex), s in by_speaker.items() if s == split) == {"F": 2, "M": 2}
    fewer = limit_training(
        splits, load_conf(ROOT, RECIPE, [*overrides, "splits.n_train_speakers=4"]).splits
    )
    assert [row for row in fewer if row.split != "train"] == [
        r for r in splits if r.split != "train"
    ]
    chosen = {(row.speaker, row.sex) for row in fewer if row.split == "train"}
    assert Counter(sex for _, sex in chosen) == {"F": 2, "M": 2}


@settings(max_examples=25, deadline=None)
@given(counts, st.randoms(use_true_random=False), st.sampled_from([2, 3]))
def test_balanced_groups_repeat_nothing_and_are_blind_to_order(sizes, shuffler, n_src):
    conf = load_conf(ROOT, RECIPE, [f"mixtures.n_src={n_src}"]).mixtures
    table = make_table(*sizes)
    shuffled = table.copy()
    shuffler.shuffle(shuffled)
    groups = draw_balanced_groups(table, "test", 20, conf)
    assert groups == draw_balanced_groups(shuffled, "test", 20, conf)
    assert all(len({row.speaker for row in group}) == n_src for group in groups)
    assert len({frozenset(row.utterance for row in group) for group in groups}) == 20
    same = [len({row.sex for row in group}) == 1 for group in groups]
    assert sum(same) == 10
    assert sum(group[0].sex == "F" for group in groups) == 10


def test_training_list_takes_each_utterance_once():
    conf = load_conf(ROOT, RECIPE, []).mixtures
    groups = draw_groups(make_table(8, 5, 5), "train", 0, conf)
    used = [row.utterance for group in groups for row in group]
    assert len(used) == len(set(used)) >= 60


def test_too_few_women_for_balance_is_one_sentence():
    conf = load_conf(ROOT, RECIPE, []).mixtures
    with pytest.raises(UserError, match="needs 2 women and 2 men in test; it has 1 speaker"):
        draw_balanced_groups(make_table(1, 5, 3), "test", 4, conf)


def test_published_fingerprints_are_compared(call, corpus, tmp_path, monkeypatch):
    stage(call, corpus, tmp_path, 2)
    experiment = open_experiment(
        RECIPE,
        [f"{k}={v}" for k, v in FEW.items()],
        corpora=[f"aishell3={corpus}"],
        data=tmp_path / "data",
    )
    own = read_fingerprints(experiment)
    root = tmp_path / "root"
    (root / "egs/aishell3mix").mkdir(parents=True)
    published = {"dev": own["dev"], "test": "0123456789abcdef"}
    text = str({"drawn-2spk": published}).replace("'", '"')
    (root / "egs/aishell3mix/fingerprints.json").write_text(text)
    monkeypatch.setattr("separation.experiment.fingerprints.ROOT", root)
    assert compare_fingerprints(experiment) == {
        "train": "no fingerprint published yet",
        "dev": "as published",
        "test": "not the published 0123456789abcdef",
    }


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5000),
    st.sampled_from([(44100, 8000), (44100, 16000), (22050, 8000), (110, 100), (91, 100), (3, 2)]),
    st.integers(0, 99),
)
def test_fast_resampling_is_scipys_to_rounding(n_samples, rates, seed):
    samples = np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)
    factor = np.gcd(*rates)
    expected = resample_poly(samples, rates[1] // factor, rates[0] // factor)
    ours = resample_fast(samples, *rates)
    assert ours.dtype == np.float32 and ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-5
