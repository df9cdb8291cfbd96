"""Test sets of every kind: what they hold, at which rate, and what is said where they cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local import librimix
from separation.datasets.evaluation_sets import open_eval_set
from separation.datasets.options import MixtureOptions
from separation.errors import MissingInputError, UserError
from separation.experiment.fingerprints import read_fingerprints
from separation.experiment.open import open_experiment
from separation.files import format_rows
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import make_existing_row, parse_row
from separation.stages.data import run_metadata
from separation.stages.state import mark_done
from tests.support.librimix_tree import DATA, read_reference_rows, write_tree
from tests.support.mixture_folders import make_sources, write_folder, write_mixture
from tests.support.wsj0_tree import LISTS, write_wsj0

NOTHING = MixtureOptions()


def test_folder_gives_the_files_samples(tmp_path):
    folder = write_folder(tmp_path / "calls" / "test", 3)
    found = open_eval_set(str(folder), NOTHING, [8000])
    assert (found.name, found.form, found.own_rate, found.n_src) == ("calls/test", "audio", 8000, 2)
    mixtures = found.at(8000)
    assert [mixture.mixture_id for mixture in mixtures] == ["m0", "m1", "m2"]
    stored = [soundfile.read(folder / part / "m1.wav")[0] for part in ("mix", "s1", "s2")]
    assert np.array_equal(mixtures[1].mixture, np.float32(stored[0]))
    assert np.array_equal(mixtures[1].sources, np.float32(stored[1:]))
    assert found.describe_resampling(8000) == ()


@pytest.mark.parametrize(
    ("own_rate", "rate", "said"),
    [(44100, 8000, "above 4000 Hz"), (8000, 16000, "nothing above 4000"), (48000, 16000, "8000")],
)
def test_audio_of_another_rate_is_resampled_mixture_and_references_alike(
    own_rate, rate, said, tmp_path
):
    folder = write_folder(tmp_path, 2, rate=own_rate)
    found = open_eval_set(str(folder), NOTHING, [rate])
    mixture = found.at(rate)[0]
    assert found.own_rate == own_rate
    assert mixture.sources.shape == (2, len(mixture.mixture)) == (2, round(0.5 * rate))
    # Resampling is linear: the sum of the parts stays the whole, but for 16 bits' rounding.
    assert np.abs(mixture.sources.sum(axis=0) - mixture.mixture).max() < 2e-4
    wanted = make_sources(0, 2, rate, 0.5)[0]
    assert np.corrcoef(wanted[200:-200], mixture.sources[0][200:-200])[0, 1] > 0.98
    assert said in found.describe_resampling(rate)[0]


def test_three_speakers_and_one_utterance(tmp_path):
    found = open_eval_set(str(write_folder(tmp_path, 1, n_src=3)), NOTHING, [8000])
    assert found.n_src == 3
    assert [mixture.sources.shape for mixture in found.at(8000)] == [(3, 4000)]


def test_unequal_lengths_name_the_mixture_and_leave_the_others(tmp_path, caplog):
    folder = write_folder(tmp_path, 3)
    soundfile.write(folder / "s2" / "m1.wav", np.ones(3999) * 0.1, 8000)
    mixtures = open_eval_set(str(folder), NOTHING, [8000]).at(8000)
    assert "1 of 3 mixtures will have no scores" in caplog.text and "s2" not in caplog.text
    assert mixtures[0].mixture_id == "m0"
    assert mixtures[2].mixture_id == "m2"
    with pytest.raises(UserError, match=r"m1\.wav: mixture and sources differ in length"):
        mixtures[1]


def test_rates_that_differ_are_named_and_a_fault_is_told_alone(tmp_path):
    """The good files were accused of a wrong rate, and the odd one was not named."""
    folder = write_folder(tmp_path, 4)
    for part in ("mix", "s1", "s2"):
        soundfile.write(folder / part / "m3.wav", np.ones(8000) * 0.1, 16000)
    soundfile.write(folder / "s1" / "m1.wav", np.ones(4000) * 0.1, 16000)
    (folder / "s1" / "m2.wav").write_bytes(b"RIFF")
    mixtures = open_eval_set(str(folder), NOTHING, [8000]).at(16000)
    with pytest.raises(UserError, match=r"mix/m1\.wav 8000 Hz, s1/m1\.wav 16000 Hz, s2/m1"):
        mixtures[1]
    with pytest.raises(UserError, match=r"s1/m2\.wav: cannot be decoded") as caught:
        mixtures[2]
    assert "in place of" not in str(caught.value)
    with pytest.raises(
        UserError, match="has 16000 Hz where 8000 Hz are expected, as most of the set has"
    ):
        mixtures[3]


def test_a_corpus_folder_that_is_not_there_is_named():
    options = MixtureOptions(corpora=["librispeech=/no/such/folder"])
    with pytest.raises(MissingInputError, match="librispeech=/no/such/folder: no such folder"):
        open_eval_set(str(DATA / "libri2mix_test-clean.csv"), options, [8000])


def test_a_set_without_one_usable_mixture_is_refused_before_work(tmp_path):
    sources = make_sources(0, 2, 8000, 0.5)
    write_mixture(tmp_path, "m0", sources.sum(axis=0), sources, 8000)
    soundfile.write(tmp_path / "s1" / "m0.wav", np.stack([sources[0]] * 2, axis=1), 8000)
    with pytest.raises(UserError, match=r"s1/m0\.wav: has 2 channels.*mono"):
        open_eval_set(str(tmp_path), NOTHING, [8000])
    with pytest.raises(MissingInputError, match="no such table, folder or MIX:split"):
        open_eval_set(str(tmp_path / "nowhere"), NOTHING, [8000])


def test_names_that_occur_twice_are_refused(tmp_path):
    folder = write_folder(tmp_path, 2)
    for part in ("mix", "s1", "s2"):
        samples, rate = soundfile.read(folder / part / "m1.wav")
        soundfile.write(folder / part / "m1.flac", samples, rate)
    with pytest.raises(UserError, match="m1 is that of two different"):
        open_eval_set(str(folder), NOTHING, [8000])


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("librimix")
    write_tree(read_reference_rows(2)[:4], folder / "speech", folder / "noise")
    return folder / "speech", folder / "noise"


@pytest.mark.parametrize("kind", ["mix_clean", "mix_both"])
def test_a_table_is_rendered_at_the_models_rate(kind, corpora, tmp_path):
    rows = read_reference_rows(2)[:4]
    table = tmp_path / "libri2mix_test-clean.csv"
    table.write_text(format_rows(rows))
    names = ("librispeech", "wham") if kind == "mix_both" else ("librispeech",)
    texts = [f"{name}={root}" for name, root in zip(names, corpora, strict=False)]
    found = open_eval_set(str(table), MixtureOptions(corpora=texts), [16000])
    assert (found.form, found.own_rate, found.n_src) == ("table", 0, 2)
    assert ("mix_both" in found.name) == (kind == "mix_both")
    for rate in (8000, 16000):
        expected = render_mixture(parse_row(rows[2]), Corpora(*corpora), rate, "min", kind)
        assert np.array_equal(found.at(rate)[2].mixture, expected.mixture)
        assert np.array_equal(found.at(rate)[2].sources, expected.sources)
        assert found.describe_resampling(rate) == ()


def test_a_table_asked_for_at_a_rate_is_rendered_at_it_and_resampled(corpora, tmp_path):
    table = tmp_path / "two.csv"
    table.write_text(format_rows(read_reference_rows(2)[:2]))
    options = MixtureOptions(corpora=[f"librispeech={corpora[0]}"], rate=8000)
    found = open_eval_set(str(table), options, [16000])
    low, high = found.at(8000)[0], found.at(16000)[0]
    assert len(high.mixture) == 2 * len(low.mixture)
    assert "resampled 8000 -> 16000" in found.describe_resampling(16000)[0]


def test_a_faulty_line_is_one_unusable_mixture(corpora, tmp_path):
    rows = [dict(row) for row in read_reference_rows(2)[:3]]
    rows[1]["source_1_gain"] = "loud"
    table = tmp_path / "three.csv"
    table.write_text(format_rows(rows))
    found = open_eval_set(str(table), MixtureOptions(corpora=[f"librispeech={corpora[0]}"]), [8000])
    assert found.at(8000)[2].mixture_id == rows[2]["mixture_ID"]
    with pytest.raises(UserError, match="line 3: source_1_gain='loud' is not a gain"):
        found.at(8000)[1]


def test_a_table_without_its_corpus_says_what_to_add():
    with pytest.raises(UserError, match="--corpus librispeech=DIR"):
        open_eval_set(str(DATA / "libri2mix_test-clean.csv"), NOTHING, [8000])


def test_wsj0mix_list(tmp_path):
    write_wsj0(tmp_path, 2)
    options = MixtureOptions(corpora=[f"wsj0={tmp_path}"])
    found = open_eval_set(str(LISTS / "mix_2_spk_tt.txt"), options, [8000])
    assert (found.form, found.n_src, found.options.kind) == ("table", 2, "mix")
    assert len(found.at(8000)[0].mixture) > 7000
    assert (len(found.rows), found.n_whole) == (4, 4)
    assert "listed a second time" in found.notes[0]  # the list's third and fifth line


def test_csv_that_names_audio(tmp_path):
    folder = write_folder(tmp_path / "audio", 2)
    rows = [
        {"mixture_ID": name, "mixture_path": f"audio/mix/{name}.wav"}
        | {f"source_{k}_path": f"audio/s{k}/{name}.wav" for k in (1, 2)}
        | {"length": 4000}
        for name in ("m0", "m1")
    ]
    table = tmp_path / "mixture_test_mix_clean.csv"
    table.write_text(format_rows(rows))
    found = open_eval_set(str(table), NOTHING, [8000])
    stored = soundfile.read(folder / "mix" / "m1.wav")[0]
    assert np.array_equal(found.at(8000)[1].mixture, np.float32(stored))


def test_a_recipes_split(tmp_path):
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 2)
    corpora = [f"{split}={tmp_path / split}" for split in ("train", "dev", "test")]
    options = MixtureOptions(corpora=corpora, data=tmp_path / "data")
    with pytest.raises(MissingInputError, match="--recipe folder/ConvTasNet --stop-stage 2"):
        open_eval_set("folder/ConvTasNet:test", options, [16000])
    experiment = open_experiment("folder/ConvTasNet", corpora=corpora, data=options.data)
    mark_done(experiment, "metadata", run_metadata(experiment))
    found = open_eval_set("folder/ConvTasNet:test", options, [16000])
    assert (found.name, found.form, found.own_rate) == ("folder/ConvTasNet:test", "recipe", 8000)
    assert found.fingerprint == read_fingerprints(experiment)["test"]
    assert found.at(8000)[1].mixture_id == "m1"


def test_of_a_tree_the_test_split_at_the_models_rate(tmp_path):
    for rate in (8000, 16000):
        for split in ("dev", "test"):
            folder = tmp_path / "Libri2Mix" / f"wav{rate // 1000}k" / "min" / split
            write_folder(folder, 1, rate=rate)
            (folder / "mix").rename(folder / "mix_clean")
    for rate in (8000, 16000):
        found = open_eval_set(str(tmp_path), NOTHING, [rate])
        assert (found.own_rate, found.name, found.is_min_mode) == (rate, "min/test", True)


def test_a_limit_takes_an_evenly_spaced_sample_and_says_so(tmp_path):
    found = open_eval_set(str(write_folder(tmp_path, 6)), NOTHING, [8000]).limit(3)
    assert [row.mixture_id for row in found.rows] == ["m0", "m2", "m4"]
    assert "3 of 6 mixtures" in found.notes[0]
    assert found.limit(10) is found


def test_a_stamp_changes_with_the_file_the_rate_and_nothing_else(tmp_path):
    folder = write_folder(tmp_path, 2)
    before = open_eval_set(str(folder), NOTHING, [8000]).at(8000)
    stamps = [before.stamp(0), before.stamp(1)]
    soundfile.write(folder / "s2" / "m1.wav", np.ones(500) * 0.1, 8000)
    after = open_eval_set(str(folder), NOTHING, [8000])
    assert after.at(8000).stamp(0) == stamps[0]
    assert after.at(8000).stamp(1) != stamps[1]
    assert after.at(16000).stamp(0) != stamps[0]


def test_published_lists_are_known_by_rows_or_by_ids(monkeypatch, tmp_path):
    rows = [parse_row(row) for row in read_reference_rows(2)]
    known = {"lists": {"libri2mix_test-clean": librimix.fingerprint_list(rows)}}
    monkeypatch.setattr(librimix, "FINGERPRINTS", tmp_path / "fingerprints.json")
    librimix.FINGERPRINTS.write_text(json.dumps(known))
    with_speakers = [row.with_columns({"speaker_1_sex": "F"}) for row in reversed(rows)]
    assert librimix.recognise(with_speakers) == ("libri2mix_test-clean", True)
    audio = [make_existing_row(row.mixture_id, "a.wav", ["b.wav", "c.wav"]) for row in rows]
    assert librimix.recognise(audio) == ("libri2mix_test-clean", True)
    louder = [rows[0].with_columns({"source_1_gain": "1.0"}), *rows[1:]]
    assert librimix.recognise(louder) == ("libri2mix_test-clean", False)
    assert librimix.recognise(rows[1:]) == ("", False)


def test_the_recorded_lists_are_those_of_librimix():
    recorded = json.loads(librimix.FINGERPRINTS.read_text())["lists"]
    assert {"libri2mix_test-clean", "libri3mix_test-clean"} <= set(recorded)
    assert len({entry["ids"] for entry in recorded.values()}) == len(recorded)


@pytest.mark.parametrize(("mean_db", "loud"), [(-1.9951, False), (-1.93, True), (0.0005, True)])
def test_another_input_si_sdr_is_a_loud_warning(mean_db, loud):
    text, _, warned = librimix.compare_input("libri2mix_test-clean", "mix_both", 8000, mean_db)
    assert warned == loud
    assert ("NOT THE STANDARD MIXTURES" in text) == loud
    assert librimix.compare_input("libri2mix_dev-clean", "mix_both", 8000, 1.0).text == ""


def test_the_rate_is_that_of_most_mixtures_wherever_the_broken_ones_lie(tmp_path):
    """The first readable mixture decided; twenty broken ones at the start refused the set."""
    folder = write_folder(tmp_path, 30, duration_s=0.1)
    names = sorted(path.name for path in (folder / "mix").iterdir())
    for name in names[:21]:
        (folder / "s1" / name).write_bytes(b"RIFF")
    for part in ("mix", "s1", "s2"):
        soundfile.write(folder / part / names[21], np.ones(900) * 0.1, 16000)
    found = open_eval_set(str(folder), NOTHING, [16000])
    assert found.own_rate == 8000


def test_paths_of_a_table_are_looked_for_beside_it_before_where_one_stands(tmp_path, monkeypatch):
    for place, rate in (("here", 8000), ("there", 16000)):
        write_folder(tmp_path / place, 1, rate=rate, duration_s=0.2)
    row = {"mixture_ID": "m0", "mixture_path": "mix/m0.wav"}
    row |= {f"source_{k}_path": f"s{k}/m0.wav" for k in (1, 2)}
    (tmp_path / "there" / "list.csv").write_text(format_rows([row]))
    monkeypatch.chdir(tmp_path / "here")
    assert open_eval_set(str(tmp_path / "there" / "list.csv"), NOTHING, [8000]).own_rate == 16000


def test_a_table_beside_a_folder_that_excel_wrote_is_read(tmp_path, caplog):
    """Its mark of UTF-8 was taken for a part of the first column's name, and it was ignored."""
    write_folder(tmp_path / "calls", 2)
    table = "mixture_ID,speaker_1_sex,speaker_2_sex\nm0,F,f\nm1,f,M\n"
    (tmp_path / "calls.csv").write_text(table, encoding="utf-8-sig")
    rows = open_eval_set(str(tmp_path / "calls"), NOTHING, [8000]).rows
    assert [row.sex_pair for row in rows] == ["same-sex", "different-sex"] and not caplog.text
    (tmp_path / "calls.csv").write_text(table.replace("mixture_ID", "name"))
    rows = open_eval_set(str(tmp_path / "calls"), NOTHING, [8000]).rows
    assert rows[0].sex_pair == "unknown"
    assert "calls.csv: has no column mixture_ID" in caplog.text
