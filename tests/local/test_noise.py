"""Any folder of noise: named splits, splits by hash, and mistakes."""

import random
from collections import Counter
from pathlib import Path

import pytest

from local.noise import list_recordings
from separation.corpora import plugin as module
from separation.errors import MissingInputError, UserError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def subsets(root: Path) -> dict[str, str]:
    return {row.path: row.subset for row in list_recordings(root)}


def refusal(root: Path, kind: type[UserError] = UserError) -> str:
    with pytest.raises(kind) as caught:
        list_recordings(root)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and f"--corpus noise={root}" in message
    return message


@pytest.mark.parametrize(
    "names", [("tr", "cv", "tt"), ("train", "dev", "test"), ("Train", "valid", "test")]
)
def test_named_splits(tmp_path, names):
    train, dev, test = names
    put(tmp_path, f"{train}/b.wav", f"{dev}/deep/c.FLAC", f"{test}/a.ogg", "metadata/list.csv")
    assert subsets(tmp_path) == {
        f"{train}/b.wav": "train",
        f"{dev}/deep/c.FLAC": "dev",
        f"{test}/a.ogg": "test",
    }


def test_all_that_a_recording_tells(tmp_path):
    put(tmp_path, "tr/X.wav", "cv/x.wav", "tt/x.wav", "tt/.hidden/y.wav", "tt/notes.txt")
    found = module.list_recordings("noise", tmp_path)
    assert [row.path for row in found] == ["cv/x.wav", "tr/X.wav", "tt/x.wav"]
    assert {(row.sex, row.channel, row.transcript) for row in found} == {("", "first", "")}
    assert [row.prompt for row in found] == ["x", "X", "x"]
    assert all(row.speaker.startswith("noise") and len(row.speaker) == 7 for row in found)


def test_split_by_hash(tmp_path):
    """80/10/10, whatever order the files come in, the same for a copy elsewhere."""
    names = [f"{place}/{number}.wav" for place in ("bus", "cafe") for number in range(100)]
    first = subsets(put(tmp_path / "one", *names))
    assert Counter(first.values()) == {"train": 160, "dev": 20, "test": 20}
    random.Random(1).shuffle(names)
    assert subsets(put(tmp_path / "two", *names)) == first
    assert len({row.speaker for row in list_recordings(tmp_path / "one")}) > 50


def test_split_by_hash_is_pinned(tmp_path):
    """Another version must give the same split: scores rest on it."""
    found = subsets(put(tmp_path, *(f"{number}.wav" for number in range(10))))
    assert [path for path in found if found[path] != "train"] == ["2.wav", "6.wav"]


def test_three_files_are_enough(tmp_path):
    found = subsets(put(tmp_path, "a.wav", "b.wav", "c.mp3"))
    assert sorted(found.values()) == ["dev", "test", "train"]


def test_one_folder_named_as_a_split_means_nothing(tmp_path):
    found = subsets(
        put(tmp_path, *(f"{place}/{n}.wav" for place in ("train", "bus") for n in "12"))
    )
    assert sorted(found.values()) == ["dev", "test", "train", "train"]


def test_mistakes(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none", MissingInputError)
    assert "no audio files" in refusal(put(tmp_path / "text", "readme.txt"), MissingInputError)
    assert "2 file(s) cannot be split" in refusal(put(tmp_path / "few", "a.wav", "b.wav"))
    told = refusal(put(tmp_path / "two", "tr/a.wav", "tr/c.wav", "tt/b.wav"))
    assert "folders for test and train, but no dev" in told
    told = refusal(put(tmp_path / "more", "tr/a.wav", "cv/a.wav", "tt/b.wav", "c.wav", "x/d.wav"))
    assert "2 files lie outside its train, dev and test (c.wav, x/d.wav)" in told
