"""Tables of audio that were written on another machine: the audio is found, or the fix is said."""

import shutil

import pytest

from separation.datasets.evaluation_sets import open_eval_set
from separation.datasets.open import open_datasets
from separation.datasets.options import MixtureOptions
from separation.errors import MissingInputError
from separation.files import format_rows, read_rows
from separation.mixtures.layout import list_files
from tests.support.mixture_folders import write_folder

N_MIXTURES = 3


@pytest.fixture
def tree(tmp_path):
    """A LibriMix tree whose metadata name the server on which it was made."""
    branch = tmp_path / "copy" / "Libri2Mix" / "wav8k" / "min"
    folder = write_folder(branch / "test", N_MIXTURES)
    there = "/data/storage/Libri2Mix/wav8k/min/test"
    rows = [
        {key: text.replace(str(folder), there) for key, text in row.columns.items()}
        for row in list_files(folder)
    ]
    (branch / "metadata").mkdir()
    (branch / "metadata" / "mixture_test_mix.csv").write_text(format_rows(rows))
    return branch


def test_files_are_found_below_the_tables_own_tree(tree):
    options = MixtureOptions(n_jobs=1)
    (opened,) = open_datasets(str(tree / "metadata" / "mixture_test_mix.csv"), options)
    assert [mixture.mixture_id for mixture in opened] == ["m0", "m1", "m2"]
    assert str(opened.options.list_files(opened.rows[0])[1]).endswith(
        "copy/Libri2Mix/wav8k/min/test/s1/m0.wav"
    )


def test_a_table_alone_needs_the_folder_of_the_audio(tree, tmp_path):
    table = tmp_path / "elsewhere" / "mixture_test_mix.csv"
    table.parent.mkdir()
    shutil.copy(tree / "metadata" / "mixture_test_mix.csv", table)
    (tmp_path / "copy").rename(tmp_path / "elsewhere" / "not a folder above")
    with pytest.raises(MissingInputError) as caught:
        open_datasets(str(table), MixtureOptions(n_jobs=1))
    assert "names /data/storage/Libri2Mix/wav8k/min/test/mix/m0.wav" in str(caught.value)
    assert "--corpus mixtures=DIR" in str(caught.value)
    for below in ("", "Libri2Mix/wav8k", "Libri2Mix/wav8k/min/test"):
        root = tmp_path / "elsewhere" / "not a folder above" / below
        options = MixtureOptions(n_jobs=1, corpora=[f"mixtures={root}"])
        assert len(open_eval_set(str(table), options).rows) == N_MIXTURES
        (opened,) = open_datasets(str(table), options)
        assert opened[2].sources.shape[0] == 2


def test_files_that_are_there_are_taken_as_they_are_written(tree, tmp_path):
    """A copy beside the table must not replace what the table names."""
    table = tree / "metadata" / "mixture_test_mix.csv"
    other = write_folder(tmp_path / "other" / "Libri2Mix" / "wav8k" / "min" / "test", N_MIXTURES)
    rows = [
        {
            key: text.replace("/data/storage/Libri2Mix/wav8k/min/test", str(other))
            for key, text in row.items()
        }
        for row in read_rows(table)
    ]
    table.write_text(format_rows(rows))
    (opened,) = open_datasets(str(table), MixtureOptions(n_jobs=1))
    assert opened.rows[1].mixture_path == str(other / "mix" / "m1.wav")


def test_one_file_that_is_gone_is_a_row(tree):
    (tree / "test" / "s2" / "m1.wav").unlink()
    found = open_eval_set(str(tree / "metadata" / "mixture_test_mix.csv"), MixtureOptions(n_jobs=1))
    mixtures = found.at(8000)
    assert mixtures[0].sources.shape[0] == 2
    with pytest.raises(ValueError, match=r"s2/m1.wav: is not there"):
        mixtures[1]
