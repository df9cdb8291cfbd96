"""Rows of mixture tables: what is read is what is written, and nobody else takes a row apart."""

import ast
import dataclasses
import pickle
import re

import pytest

from separation.errors import UserError
from separation.files import format_rows, hash_text, read_rows
from separation.mixtures.table import (
    NoiseRef,
    Origin,
    SourceRef,
    format_table,
    make_existing_row,
    make_row,
    parse_row,
    read_mixture_table,
    read_table,
    write_mixture_table,
)
from tests.conftest import ROOT
from tests.support.librimix_tree import DATA

COLUMN = re.compile(r"(mixture_path|noise_path|noise_gain|row_fault|source_\d_\w+|speaker_\d_\w+)")
PART = re.compile(r"source_.*_(path|gain|level|snr_db|channel|start|n_samples|loudness_lufs)")


@pytest.mark.parametrize("n_src", [2, 3])
def test_a_tables_text_is_the_same_after_reading_and_writing(n_src, tmp_path):
    path = DATA / f"libri{n_src}mix_test-clean.csv"
    rows = read_mixture_table(path)
    assert {(row.origin, row.n_src) for row in rows} == {(Origin.LIBRIMIX, n_src)}
    write_mixture_table(tmp_path / "again.csv", rows)
    expected = format_rows(read_rows(path))  # the published file's own line ends are DOS's
    assert (tmp_path / "again.csv").read_text() == format_table(rows) == expected
    again = read_mixture_table(tmp_path / "again.csv")
    assert hash_text(format_table(again)) == hash_text(expected)


def test_unknown_columns_survive(tmp_path):
    columns = {"mixture_ID": "m0", "room": "kitchen", "source_1_path": "a.wav"}
    columns |= {"source_1_gain": "0.500", "source_2_path": "b.wav", "source_2_gain": "1e-1"}
    (tmp_path / "t.csv").write_text(format_rows([columns]))
    rows, faults = read_table(tmp_path / "t.csv")
    assert not faults and dict(rows[0].columns) == columns
    assert format_table(rows) == (tmp_path / "t.csv").read_text()
    assert [source.gain for source in rows[0].sources] == [0.5, 0.1]
    assert pickle.loads(pickle.dumps(rows[0])) == rows[0]


def test_a_drawn_row_is_what_its_table_says(tmp_path):
    """Gains of more digits than the table has would render other bits before it is read again."""
    whole = SourceRef(paths=("a.wav",), channel="first", gain=1 / 3, loudness_lufs=-25.004)
    piece = SourceRef(
        paths=("b.wav", "c.wav"), start=0, n_samples=9, gain=2 / 3, speaker="s", transcript=""
    )
    row = make_row("m0", [whole, piece], NoiseRef("n.wav", 0.1), [1.23456])
    write_mixture_table(tmp_path / "t.csv", [row])
    assert read_mixture_table(tmp_path / "t.csv") == [row]
    assert row.sources[0].gain == 0.33333333 and row.level_differences_db == (1.2346,)
    assert row.sources[1].paths == ("b.wav", "c.wav") and row.sources[1].transcript == ""
    assert list(row.columns) == [
        *("mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain"),
        *("speaker_1_ID", "speaker_1_sex", "source_1_channel"),
        *("speaker_2_ID", "speaker_2_sex", "source_2_channel", "noise_path", "noise_gain"),
        *("source_1_loudness_lufs", "source_2_transcript", "source_2_start"),
        *("source_2_n_samples", "level_difference_2_db"),
    ]


def test_a_bar_in_the_name_of_a_whole_recording_joins_nothing():
    row = parse_row({"mixture_ID": "m", "source_1_path": "a|b.wav", "source_1_gain": "1"})
    assert row.sources[0].paths == ("a|b.wav",)


@pytest.mark.parametrize(
    ("stated", "pair"),
    [
        ({"speaker_1_sex": "F", "speaker_2_sex": "female"}, "same-sex"),
        ({"speaker_1_sex": "F", "speaker_2_sex": " m"}, "different-sex"),
        ({"speaker_1_sex": "F"}, "unknown"),  # was of the same sex
        ({}, "unknown"),
    ],
)
def test_the_sexes_of_a_pair(stated, pair):
    row = make_existing_row("a", "mix/a.wav", ["s1/a.wav", "s2/a.wav"]).with_columns(stated)
    assert row.sex_pair == pair


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ("mixture_ID,source_1_path,source_2_path,source_1_gain", "source_2_gain"),
        ("mixture_ID,source_1_path,source_2_path,source_1_level,source_2_level", "source_1_snr_db"),
        ("mixture_ID,mixture_path,source_2_path", "source_1_path"),
        ("name,path", "mixture_ID"),
    ],
)
def test_a_table_of_other_columns_is_refused_with_those_that_it_lacks(columns, missing, tmp_path):
    (tmp_path / "t.csv").write_text(f"{columns}\n" + ",".join("x" for _ in columns.split(",")))
    for read in (read_table, read_mixture_table):
        with pytest.raises(UserError, match=f"is no mixture table: it lacks.*{missing}"):
            read(tmp_path / "t.csv")


def find_columns(text: str) -> list[str]:
    """String constants and f-strings of Python code that are columns of mixture tables."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.value] if COLUMN.fullmatch(node.value) else []
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "" for part in node.values)
            whole = "".join(parts)
            found += [whole] if PART.fullmatch(whole) else []
    return found


def test_nobody_else_takes_a_row_apart():
    assert find_columns('row["source_1_path"]; row[f"source_{k}_gain"]') == [
        "source_1_path",
        "source__gain",
    ]
    package = ROOT / "separation"
    found = {
        path.relative_to(package).as_posix(): columns
        for path in sorted(package.rglob("*.py"))
        if (columns := find_columns(path.read_text(encoding="utf-8")))
    }
    assert found.pop("mixtures/table.py")
    # keys of other people's JSON
    assert found == {"mixture_checks/marks.py": ["mixture_path"]}


def test_some_rows_of_pieces_and_some_of_whole_files(tmp_path):
    """Bug: where only some recordings were long enough to be cut, stage 2 ended in a traceback."""
    whole = SourceRef(paths=("a.wav",), channel="mono", gain=1.0, speaker="a", sex="F")
    piece = dataclasses.replace(whole, paths=("b.wav",), start=5, n_samples=7)
    rows = [make_row("m0", (whole, whole)), make_row("m1", (whole, piece))]
    write_mixture_table(tmp_path / "dev.csv", rows)
    again = read_mixture_table(tmp_path / "dev.csv")
    assert [source.start for row in again for source in row.sources] == [None, None, None, 5]
    assert [source.n_samples for row in again for source in row.sources] == [None, None, None, 7]
    assert format_table(again) == format_table(rows)
