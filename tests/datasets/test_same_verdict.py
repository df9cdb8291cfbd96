"""Broken trees and tables: stages, compare and validate give one verdict, for one reason.

Stages read strictly: they raise before long work and list what is wrong. ``compare`` and
``validate`` read leniently: they go on with the rest. What is usable is the same for all of them.
"""

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.datasets.evaluation_sets import open_eval_set
from separation.datasets.open import open_datasets
from separation.datasets.options import MixtureOptions
from separation.errors import UserError
from separation.experiment.open import open_experiment
from separation.files import format_rows
from separation.mixture_checks.checks import Limits, examine
from separation.mixture_checks.sets import CheckedSet, compare_sets
from separation.mixtures.existing import check_mixtures
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import read_mixture_table, read_table
from separation.wav_trees.tree import Tree, render_tree
from tests.support.inputs_page import is_documented
from tests.support.librimix_tree import read_reference_rows, write_tree
from tests.support.mixture_folders import write_folder

RATE = 8000
OPTIONS = MixtureOptions(rate=RATE, n_jobs=1)


@dataclass(frozen=True)
class Case:
    """What is done to a good set, and what all sides should say of mixture ``m1``.

    Attributes:
        plant: changes the folder or the table's lines.
        reason: words that all sides give; empty: the mixture is usable, as are all.
        whole_set: whether compare refuses the set, because mixtures cannot be told apart.
    """

    plant: Callable
    reason: str = ""
    whole_set: bool = False


def rewrite_sizes(path: Path, riff: int, data: int) -> None:
    """State other sizes in a WAV header, as programs do that write to a pipe."""
    content = bytearray(path.read_bytes())
    content[4:8], content[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])


def to_flac(folder: Path, *, forget_length: bool = False) -> Path:
    """Mixture m1 as FLAC in all of its folders; returns that of s1."""
    for part in ("mix", "s1", "s2"):
        samples, rate = soundfile.read(folder / part / "m1.wav", dtype="int16")
        soundfile.write(folder / part / "m1.flac", samples, rate)
        (folder / part / "m1.wav").unlink()
    path = folder / "s1" / "m1.flac"
    if forget_length:
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0  # STREAMINFO's number of samples: the last 36 bits before the MD5 sum
        content[22:26] = bytes(4)
        path.write_bytes(content)
    return path


def change(folder: Path, make: Callable, rate: int = RATE) -> None:
    path = folder / "s1" / "m1.wav"
    samples, _ = soundfile.read(path, dtype="int16")
    soundfile.write(path, make(samples), rate)


def link(folder: Path, name: str) -> None:
    """Move a folder elsewhere and leave a symbolic link in its place."""
    elsewhere = folder.parent.parent / "elsewhere"
    shutil.move(folder / name, elsewhere)
    (folder / name).symlink_to(elsewhere, target_is_directory=True)


def hide(folder: Path) -> None:
    """What macOS leaves on other file systems."""
    for part in ("mix", "s1", "s2"):
        (folder / part / "._m1.wav").write_bytes(b"\0\5\26\7Mac OS X")
        (folder / part / ".DS_Store").write_bytes(b"\0")
    (folder / "mix" / ".hidden.wav").write_bytes(b"RIFF")


def add_folders(folder: Path, *kinds: str) -> None:
    """Other kinds of mixtures of the same sources; what ``mix`` holds is of no use now."""
    for kind in kinds:
        shutil.copytree(folder / "mix", folder / kind)
    (folder / "mix" / "m1.wav").write_bytes(b"RIFF")


def rename_suffix(folder: Path) -> None:
    for part in ("mix", "s1", "s2"):
        (folder / part / "m1.wav").rename(folder / part / "m1.WAV")


def loop(folder: Path) -> None:
    (folder / "s1" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "loop").symlink_to("loop")
    (folder / "mix" / "more").symlink_to(folder / "mix", target_is_directory=True)


def link_to_itself(folder: Path) -> None:
    (folder / "s1" / "m1.wav").unlink()
    (folder / "s1" / "m1.wav").symlink_to("m1.wav")


TREES = {
    "good": Case(lambda folder: None),
    "hidden files": Case(hide),
    "mix beside mix_clean and mix_both": Case(lambda f: add_folders(f, "mix_clean", "mix_both")),
    "upper-case suffix": Case(rename_suffix),
    "WAV from a pipe, sox": Case(
        lambda f: rewrite_sizes(f / "s1" / "m1.wav", 0x7FFFF024, 0x7FFFF000)
    ),
    "WAV from a pipe, ffmpeg": Case(
        lambda f: rewrite_sizes(f / "s1" / "m1.wav", 0xFFFFFFFF, 0xFFFFFFFF)
    ),
    "WAV from a pipe, more": Case(
        lambda f: rewrite_sizes(f / "mix" / "m1.wav", 0x7FFFF024, 0x7FFFF024)
    ),
    "WAV that states nothing": Case(
        lambda f: rewrite_sizes(f / "s1" / "m1.wav", 0, 0), "s1/m1.wav: holds no samples"
    ),
    "truncated WAV": Case(lambda f: cut(f / "s1" / "m1.wav", 0.5), "s1/m1.wav: is truncated"),
    "WAV of an odd length": Case(
        lambda f: cut(f / "s1" / "m1.wav", 0.9), "s1/m1.wav: is truncated"
    ),
    "FLAC": Case(to_flac),
    "truncated FLAC": Case(lambda f: cut(to_flac(f), 0.5), "s1/m1.flac: is truncated"),
    "FLAC without its end": Case(lambda f: cut(to_flac(f), 0.98), "s1/m1.flac: is truncated"),
    "FLAC from a pipe": Case(
        lambda f: to_flac(f, forget_length=True), "s1/m1.flac: states no length"
    ),
    "empty": Case(lambda f: cut(f / "s2" / "m1.wav", 0), "s2/m1.wav: cannot be decoded"),
    "header only": Case(
        lambda f: soundfile.write(f / "s2" / "m1.wav", np.zeros(0), RATE),
        "s2/m1.wav: holds no samples",
    ),
    "no audio": Case(
        lambda f: (f / "mix" / "m1.wav").write_text("none"), "mix/m1.wav: cannot be decoded"
    ),
    "missing in s2": Case(lambda f: (f / "s2" / "m1.wav").unlink(), "s2/m1.wav: is not there"),
    "missing in mix": Case(lambda f: (f / "mix" / "m1.wav").unlink(), "mix/m1.wav: is not there"),
    "only in s1": Case(
        lambda f: [(f / part / "m1.wav").unlink() for part in ("mix", "s2")],
        "mix/m1.wav: is not there",
    ),
    "link to nothing": Case(link_to_itself, "s1/m1.wav: is not there"),
    "linked folder": Case(lambda f: link(f, "s1")),
    "loop of links": Case(loop),
    "other rate": Case(lambda f: change(f, lambda x: np.repeat(x, 2), 2 * RATE), "s1/m1.wav"),
    "two channels": Case(
        lambda f: change(f, lambda x: np.stack([x, x], 1)),
        "s1/m1.wav: has 2 channels where one is expected",
    ),
    "unequal lengths": Case(
        lambda f: change(f, lambda x: x[:-81]), "mix/m1.wav: mixture and sources differ in length"
    ),
    "two suffixes": Case(
        lambda f: [
            shutil.copy(f / part / "m0.wav", f / part / "m1.flac") for part in ("mix", "s1", "s2")
        ],
        "m1",
        whole_set=True,
    ),
}


def read_as_stages(tree: Path) -> str:
    """What stages 0 and 2 say of a tree; empty where they take it."""
    experiment = open_experiment("folder/ConvTasNet", corpora=[f"mixtures={tree}"])
    try:
        rows = experiment.inputs.existing["test"]
        check_mixtures(rows, RATE, 1, "check")
    except UserError as error:
        return str(error)
    assert all(Path(path).is_relative_to(tree.resolve()) for path in rows[0].list_audio())
    return ""


def read_as_compare(folder: Path, options: MixtureOptions = OPTIONS) -> dict[str, str]:
    """By mixture what keeps it from being scored; empty where nothing does."""
    mixtures = open_eval_set(str(folder), options, [RATE]).at(RATE)
    found = {}
    for index, row in enumerate(mixtures.rows):
        found[row.mixture_id] = ""
        try:
            assert mixtures[index].mixture.size > 0
        except UserError as error:
            found[row.mixture_id] = str(error)
    return found


def read_as_validate(folder: Path, options: MixtureOptions = OPTIONS) -> dict[str, str]:
    """By mixture what is found that keeps it from being used."""
    (found,) = open_datasets(str(folder), options)
    limits = Limits(min_s=0.1)
    records = [examine(row, found.options, limits) for row in found.rows]
    compare_sets([CheckedSet(name="test", origin="", records=records)])
    reading = ("bad-row", "unreadable", "wrong-rate", "wrong-channels", "length-mismatch")
    return {
        record.name: "; ".join(
            record.findings[check]
            for check in (*reading, "repeated-id")
            if check in record.findings
        )
        for record in records
    }


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_usable_for_all_or_for_none_and_for_one_reason(name, tmp_path):
    case, tree = TREES[name], tmp_path / "tree"
    for split in ("train", "dev", "test"):
        write_folder(tree / split, 3)
    case.plant(tree / "test")
    strict = read_as_stages(tree)
    validated = read_as_validate(tree / "test")
    if case.whole_set:
        with pytest.raises(UserError, match=case.reason):
            read_as_compare(tree / "test")
        assert case.reason in strict and validated["m1"]
        return
    compared = read_as_compare(tree / "test")
    assert list(compared) == list(validated) == ["m0", "m1", "m2"]
    if not case.reason:
        assert strict == "" and set(compared.values()) == set(validated.values()) == {""}
        return
    for text in (strict, compared["m1"], validated["m1"]):
        assert case.reason in text
    assert {compared[other] or validated[other] for other in ("m0", "m2")} == {""}


@pytest.mark.parametrize("n_more", [-80, -1, 1, 80])
def test_a_source_that_is_off_by_a_rounding_is_cut_and_counted(n_more, tmp_path, caplog):
    """Up to 10 ms; validate, which is asked for faults, names it all the same."""
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 3)
    change(tmp_path / "test", lambda x: x[:n_more] if n_more < 0 else np.pad(x, (0, n_more)))
    assert read_as_stages(tmp_path) == ""
    said = f"in 1 of 3 mixtures the files differ in length by up to {abs(n_more)} samples"
    assert said in caplog.text
    caplog.clear()
    assert set(read_as_compare(tmp_path / "test").values()) == {""}
    assert said in caplog.text
    opened = open_eval_set(str(tmp_path / "test"), OPTIONS, [RATE]).at(RATE)
    length = len(soundfile.read(tmp_path / "test" / "mix" / "m1.wav")[0])
    assert len(opened[1].mixture) == opened[1].sources.shape[1] == length + min(0, n_more)
    assert "differ in length" in read_as_validate(tmp_path / "test")["m1"]


def test_a_linked_split_and_a_linked_tree_are_followed(tmp_path):
    for split in ("train", "dev", "real"):
        write_folder(tmp_path / "tree" / split, 3)
    shutil.move(tmp_path / "tree" / "real", tmp_path / "real")
    (tmp_path / "tree" / "test").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "tree" / "dev" / "up").symlink_to(tmp_path / "tree", target_is_directory=True)
    (tmp_path / "link").symlink_to(tmp_path / "tree", target_is_directory=True)
    assert read_as_stages(tmp_path / "link") == ""
    assert set(read_as_compare(tmp_path / "link").values()) == {""}
    names = [found.name for found in open_datasets(str(tmp_path / "link"), OPTIONS)]
    assert names == ["train", "dev", "test"]


def test_both_sides_take_the_same_folder_of_mixtures(tmp_path):
    """Stages took mix_clean/, compare and validate mix/, where both were there."""
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 3)
        add_folders(tmp_path / split, "mix_clean", "mix_both")
    experiment = open_experiment("folder/ConvTasNet", corpora=[f"mixtures={tmp_path}"])
    for rows in (
        experiment.inputs.existing["test"],
        open_eval_set(str(tmp_path), OPTIONS, [RATE]).rows,
        open_datasets(str(tmp_path / "test"), OPTIONS)[0].rows,
    ):
        assert {row.mixture_type for row in rows} == {"mix_clean"}


def test_up_to_twenty_faults_are_listed_and_the_rest_counted(tmp_path):
    for split in ("train", "dev"):
        write_folder(tmp_path / split, 1)
    folder = write_folder(tmp_path / "test", 1)
    for number in range(30):
        shutil.copy(folder / "mix" / "m0.wav", folder / "mix" / f"x{number:02d}.wav")
    text = read_as_stages(tmp_path)
    assert text.count("is not there") == 40 and "... and 10 more" in text
    assert "30 of 31 mixtures cannot be used" in text and is_documented(text.splitlines()[-1])


def test_noise_that_is_not_there_matters_to_validate_alone(tmp_path):
    """compare called mixtures unreadable for a noise that no score needs."""
    folder = write_folder(tmp_path / "test", 3)
    (folder / "mix").rename(folder / "mix_both")
    shutil.copytree(folder / "s1", folder / "noise")
    (folder / "noise" / "m1.wav").unlink()
    assert set(read_as_compare(folder).values()) == {""}
    assert "noise/m1.wav: is not there" in read_as_validate(folder)["m1"]


def edit(rows: list[dict[str, str]], **values: str) -> None:
    rows[1].update(values)


def add_column(rows: list[dict[str, str]], name: str, text: str) -> None:
    """A column that only the second row fills."""
    for number, row in enumerate(rows):
        row[name] = text if number == 1 else ""


def spoil(change_file: Callable[[Path], object]) -> Callable:
    """A change of the first source of the second row."""
    return lambda rows, speech: change_file(speech / rows[1]["source_1_path"])


def write_again(path: Path, **settings) -> None:
    samples, _ = soundfile.read(path, dtype="int16")
    path.unlink()
    soundfile.write(path, samples, 16000, **settings)


def pipe(path: Path) -> None:
    write_again(path, format="WAV")
    rewrite_sizes(path, 0xFFFFFFFF, 0xFFFFFFFF)


TABLES = {
    "good": Case(lambda rows, speech: None),
    "further columns": Case(lambda rows, speech: [row.update(room="kitchen") for row in rows]),
    "bad gain": Case(
        lambda rows, speech: edit(rows, source_1_gain="loud"),
        "line 3: source_1_gain='loud' is not a gain",
    ),
    "negative gain": Case(lambda rows, speech: edit(rows, noise_gain="-1"), "is not a gain"),
    "absolute path": Case(
        lambda rows, speech: edit(rows, source_1_path="/etc/passwd"),
        "source_1_path='/etc/passwd' should be relative",
    ),
    "path outside": Case(
        lambda rows, speech: edit(rows, source_2_path="a/../../b.wav"), "should be relative"
    ),
    "no path": Case(lambda rows, speech: edit(rows, noise_path=""), "noise_path is empty"),
    "no number": Case(
        lambda rows, speech: add_column(rows, "level_difference_2_db", "x"),
        "level_difference_2_db='x' is not a number",
    ),
    "half a piece": Case(
        lambda rows, speech: add_column(rows, "source_1_start", "5"),
        "source_1_start without source_1_n_samples",
    ),
    "absent": Case(spoil(Path.unlink), "is not there"),
    "truncated FLAC": Case(spoil(lambda path: cut(path, 0.5)), "is truncated"),
    "truncated WAV": Case(
        spoil(lambda path: (write_again(path, format="WAV"), cut(path, 0.5))), "is truncated"
    ),
    "WAV from a pipe": Case(spoil(pipe)),
    "two channels": Case(
        spoil(lambda path: soundfile.write(path, np.zeros((30000, 2)), 16000)),
        "has 2 channels where one is expected",
    ),
    "no audio": Case(spoil(lambda path: path.write_text("none")), "cannot be decoded"),
}


@pytest.fixture
def corpus(tmp_path) -> tuple[list[dict[str, str]], Path, Path]:
    """Three rows of LibriMix, and the recordings that they name."""
    rows = [dict(row) for row in read_reference_rows(2)[:3]]
    for number, row in enumerate(rows):
        row["mixture_ID"] = f"m{number}"
    write_tree(rows, tmp_path / "speech", tmp_path / "noise")
    return rows, tmp_path / "speech", tmp_path / "noise"


def render_strictly(table: Path, speech: Path, noise: Path) -> str:
    """What ``render`` says of a table, and stages of their lists; empty where they take it."""
    tree = Tree(
        folder=table.parent / "out",
        split="test",
        rates=(RATE,),
        modes=("min",),
        types=("mix_clean",),
    )
    try:
        render_tree(read_mixture_table(table), Corpora(speech, noise), tree, 1)
    except UserError as error:
        assert not list(tree.folder.rglob("*.wav"))  # before anything is made
        return str(error)
    return ""


@pytest.mark.parametrize("name", TABLES)
def test_a_row_is_usable_for_all_or_for_none_and_for_one_reason(name, corpus, tmp_path):
    rows, speech, noise = corpus
    case, table = TABLES[name], tmp_path / "test.csv"
    case.plant(rows, speech)
    table.write_text(format_rows(rows))
    options = MixtureOptions(corpora=[f"speech={speech}"], rate=RATE, n_jobs=1, kind="mix_clean")
    strict = render_strictly(table, speech, noise)
    compared, validated = read_as_compare(table, options), read_as_validate(table, options)
    assert list(compared) == list(validated) == ["m0", "m1", "m2"]
    for text in (strict, compared["m1"], validated["m1"]):
        assert case.reason in text and bool(text) == bool(case.reason)
    assert {compared[other] or validated[other] for other in ("m0", "m2")} == {""}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mark_of_utf_8_is_no_part_of_a_column(mark, corpus, tmp_path):
    rows, speech, noise = corpus
    (tmp_path / "test.csv").write_text(mark + format_rows(rows), encoding="utf-8")
    options = MixtureOptions(corpora=[f"speech={speech}"], rate=RATE, n_jobs=1, kind="mix_clean")
    assert render_strictly(tmp_path / "test.csv", speech, noise) == ""
    assert read_as_validate(tmp_path / "test.csv", options)["m0"] == ""


def test_a_cut_line_is_named_by_all(corpus, tmp_path):
    rows, speech, noise = corpus
    (tmp_path / "test.csv").write_text(format_rows(rows)[:-60])
    options = MixtureOptions(corpora=[f"speech={speech}"], rate=RATE, n_jobs=1, kind="mix_clean")
    reason = "line 4: another number of columns than the first line"
    for text in (
        render_strictly(tmp_path / "test.csv", speech, noise),
        read_as_compare(tmp_path / "test.csv", options)["m2"],
        read_as_validate(tmp_path / "test.csv", options)["m2"],
    ):
        assert reason in text


def test_an_id_of_two_mixtures_is_refused_by_all(corpus, tmp_path):
    rows, speech, noise = corpus
    rows[2]["mixture_ID"] = "m1"
    (tmp_path / "test.csv").write_text(format_rows(rows))
    options = MixtureOptions(corpora=[f"speech={speech}"], rate=RATE, n_jobs=1, kind="mix_clean")
    assert "m1 occurs more than once" in render_strictly(tmp_path / "test.csv", speech, noise)
    with pytest.raises(UserError, match="m1 is that of two different mixtures"):
        read_as_compare(tmp_path / "test.csv", options)
    assert (
        "an earlier mixture has this ID" in read_as_validate(tmp_path / "test.csv", options)["m1"]
    )


def test_strict_is_lenient_plus_raise(corpus, tmp_path):
    rows, _, _ = corpus
    edit(rows, source_1_gain="loud")
    rows[2]["source_2_path"] = "/a.wav"
    (tmp_path / "test.csv").write_text(format_rows(rows))
    found, faults = read_table(tmp_path / "test.csv")
    assert [bool(row.fault) for row in found] == [False, True, True] and len(faults) == 2
    with pytest.raises(UserError, match="2 faults") as caught:
        read_mixture_table(tmp_path / "test.csv")
    assert all(fault in str(caught.value) for fault in faults)
