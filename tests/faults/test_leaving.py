"""Every command refuses, in one sentence, names that lead out of its folders."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from separation.cli.commands import COMMANDS
from separation.cli.main import build_parser, main
from separation.errors import UserError
from separation.safe_paths import place_inside
from tests.conftest import ROOT, make_voice
from tests.faults.leaving import NAMELESS, RATE, SHAPES, WAYS, Places, WayIn, format_ways

OWN = ("data", "exp", "out")  # folders of the command
GIVEN = ("tables", "mine", "given", "ladder.yml", "corpus.tar.gz")  # what the ways in write


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaving") / "speech"
    for number, speaker in enumerate(("ann", "bob")):
        (folder / speaker).mkdir(parents=True)
        soundfile.write(folder / speaker / "a.wav", make_voice(number, 120, 1.2, RATE), RATE)
    return folder


def test_every_command_of_the_help_is_tried():
    """A new command needs a row, or an entry among those that take no name."""
    page = subprocess.run(
        [sys.executable, "-m", "separation", "--help"], cwd=ROOT, text=True, capture_output=True
    ).stdout
    commands = set(re.findall(r"^  ([a-z]+)  ", page, re.MULTILINE))
    assert commands == set(COMMANDS)
    assert {way.command for way in WAYS} | set(NAMELESS) == commands


@pytest.mark.parametrize("name", NAMELESS)
def test_a_command_that_takes_no_name_has_no_further_option(name):
    command = COMMANDS[name]
    parser = build_parser(name, command, importlib.import_module(command.module))
    assert {action.dest for action in parser._actions} - {"help"} == NAMELESS[name]


def list_outside(folder: Path) -> dict[str, bytes]:
    """Files that are neither the command's nor written by the way in."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in (*OWN, *GIVEN)
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.command} {way.what}")
def test_what_leads_elsewhere_is_refused(way: WayIn, speech, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("separation.demo.page.find_gradio", lambda: None)
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "x").write_bytes(b"mine")
    before = list_outside(tmp_path)
    for shape, name in SHAPES.items():
        name = name.replace("/canary", str(tmp_path / "canary"))
        code = way.call(name, Places(folder=tmp_path, speech=speech))
        printed = capsys.readouterr()
        assert list_outside(tmp_path) == before, shape
        if shape in way.harmless:
            continue
        assert code == way.code, (shape, code, printed.err)
        lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 or (way.code == 1 and "bad-row" in printed.out), (shape, printed)
        assert "Traceback" not in printed.err


def test_a_link_inside_a_folder_leads_nothing_out(speech, tmp_path, capsys):
    """Somebody else's output folder may hold a link; a slash in a name makes it a way."""
    (tmp_path / "canary").mkdir()
    places = Places(folder=tmp_path, speech=speech)
    words = ["--corpus", f"mine={speech}", "--nj", "1", "--out", str(tmp_path / "out")]
    assert main(["render", places.write_table("fine2"), *words]) == 0
    for path in [path.parent for path in (tmp_path / "out").rglob("fine.wav")]:
        (path / "deep").symlink_to(tmp_path / "canary")
    places.write("tables/test.csv", Path(places.write_table("deep/x")).read_text())
    assert main(["render", str(tmp_path / "tables" / "test.csv"), *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "a link in" in error
    assert not list((tmp_path / "canary").iterdir())
    with pytest.raises(UserError, match="a link in"):
        place_inside(next((tmp_path / "out").rglob("deep")).parent, "deep/x", ".wav")


def test_the_documented_table_is_this_one():
    assert format_ways() in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
