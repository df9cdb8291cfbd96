"""What the mutation campaign brought to light, the smallest case of each."""

import json
from pathlib import Path

import pytest

from separation.cli.main import main
from separation.config.load import build_conf, load_conf
from separation.corpora.extract import extract_pieces
from separation.errors import UserError
from separation.files import stamp_file
from separation.mixtures.gather.moved_files import FileFinder
from separation.mixtures.gather.open import read_any_table
from separation.mixtures.table import read_table
from tests.conftest import ROOT
from tests.support.mixture_folders import write_folder

HEAD = "mixture_ID,source_1_path,source_1_gain,source_1_channel,source_2_path,source_2_gain"


def test_a_null_byte_in_the_path_of_a_list(tmp_path):
    record = {"mixture_path": "a.wav", "source_1_path": "b\0.wav", "source_2_path": "c.wav"}
    (tmp_path / "a.json").write_text(json.dumps([{"id": "m0"} | record]))
    (row,) = read_any_table(tmp_path / "a.json")
    assert "source_1_path='b\\x00.wav' is no path of a file" in row.fault


def test_a_null_byte_in_the_path_of_a_separated_file():
    assert stamp_file(Path("a\0.wav")) == ["a\0.wav", None]


def test_lists_in_which_a_mixture_lost_its_sources(tmp_path, capsys):
    """Half of the mixtures had none, so it was taken for a set without sources."""
    folder = write_folder(tmp_path / "set", 2, duration_s=1.2)
    for part, name in (("mix", "wav"), ("s1", "spk1"), ("s2", "spk2")):
        names = ["m0", "m1" if part == "mix" else "other"]
        lines = [f"{key} {folder / part / f'm{k}.wav'}" for k, key in enumerate(names)]
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / f"{name}.scp").write_text("\n".join(lines) + "\n")
    assert main(["validate", str(tmp_path / "lists"), "--nj", "1"]) == 1
    assert "m1: has no s1 and no s2" in capsys.readouterr().out


def test_tables_that_name_no_utterance(tmp_path):
    with pytest.raises(UserError, match="the tables name none"):
        extract_pieces([], tmp_path, 1)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ("0.5,middle", "source_1_channel='middle' is none of mono, first, mean"),
        ("1e300,mono", "source_1_gain='1e300' is not a gain"),
        ("x,mono", "source_1_gain='x' is not a gain"),
    ],
)
def test_a_column_of_a_table_that_is_off(cells, fault, tmp_path):
    (tmp_path / "t.csv").write_text(f"{HEAD}\nm0,a.wav,{cells},b.wav,0.5\n")
    _, faults = read_table(tmp_path / "t.csv")
    assert faults == [f"line 2: {fault}"]


def test_a_piece_without_samples(tmp_path):
    columns = "source_1_start,source_1_n_samples"
    (tmp_path / "t.csv").write_text(f"{HEAD},{columns}\nm0,a.wav,1,mono,b.wav,1,5,0\n")
    _, faults = read_table(tmp_path / "t.csv")
    assert faults == ["line 2: source_1_n_samples=0 holds no samples"]


def test_a_field_that_no_table_has(tmp_path):
    (tmp_path / "t.csv").write_text(f"{HEAD}\n{'x' * 140_000},a.wav,0.5,mono,b.wav,0.5\n")
    with pytest.raises(UserError, match="is not a CSV table"):
        read_table(tmp_path / "t.csv")


def test_a_list_that_names_the_folder_itself(tmp_path):
    """The path ``.`` has no parts."""
    assert FileFinder(tmp_path / "spk1.scp", []).find(".") == "."


def test_a_saved_conf_whose_section_is_a_text():
    saved = load_conf(ROOT, "folder/ConvTasNet", []).as_dict() | {"training": "x"}
    with pytest.raises(UserError, match="the config's section training does not fit"):
        build_conf(saved)
