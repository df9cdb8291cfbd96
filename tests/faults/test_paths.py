"""A name out of a file never leads out of the folder that it is meant for, whoever takes it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from separation.cli.main import main
from separation.compare.saved_estimates import ModelFolder
from separation.compare.scores import name_files
from separation.corpora.extract import Piece
from separation.corpora.plugin import Reading, Recording, list_recordings
from separation.errors import UserError
from separation.mixtures.table import read_table
from separation.models.checkpoint.locate import find_checkpoint
from separation.options import check_tag
from separation.recordings.record import read_record
from separation.reports.page import Block, Page, Table, blocks_to_html, format_page
from separation.safe_paths import find_name_fault, place_inside
from tests.conftest import make_voice

LEAVING = (
    *("../x", "../../canary/x", "/canary/x", "a/../../x", "..", "a/..", "/", "//x", "./../x"),
    *("a/./../../x", "../", "a\0b", "a\nb", "x" * 300, "好" * 100, "", ".", "./x", "a//x", "a/"),
)
HTML = "<script>alert(1)</script>\"'&"
names = st.text(st.sampled_from("ab./\\~ \0\n.é好-_$") | st.characters(), max_size=40)
RATE = 8000


@given(names, names)
def test_a_name_stays_in_its_folder_and_two_names_are_two_files(first, second):
    root = Path("/root/folder")
    places = []
    for name in (first, second):
        try:
            places.append(place_inside(root, name, ".wav"))
        except UserError as error:
            assert "\n" not in str(error) and find_name_fault(name)
    for place in places:
        assert place.is_relative_to(root) and place != root and ".." not in place.parts
        assert place == Path(str(place))  # one spelling
    if len(places) == 2 and first != second:
        assert places[0] != places[1]


@given(st.lists(names, max_size=5))
def test_sets_models_and_estimators_get_a_file_name_each(texts):
    found = name_files(list(dict.fromkeys(texts)))
    assert all("/" not in name and name.strip(".") and "\0" not in name for name in found.values())
    assert len({name.lower() for name in found.values()}) == len(found)


@given(names, names)
def test_utterances_of_kaldi_tables_stay_in_the_folder_that_they_are_cut_into(speaker, utterance):
    recording = Recording(speaker=speaker, path="", prompt="", utterance=utterance)
    path = Path(Piece(recording=recording, source="a.wav", where="").path)
    assert not path.is_absolute() and ".." not in path.parts and len(path.parts) == 2
    assert all(len(part.encode()) < 250 for part in path.parts)


@given(names)
def test_every_name_is_escaped_in_html(name):
    parts = [Table(head=[name], rows=[[name + HTML]]), Block("text", name + HTML)]
    text = name + HTML
    texts = {"title": text, "origin": text, "window": text, "more": text, "footer": text}
    page = format_page(Page(body=blocks_to_html(parts), **texts))
    assert "<script>alert" not in page and "alert(1)" in page


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for number, speaker in enumerate(("ann", "bob")):
        (folder / "speech" / speaker).mkdir(parents=True)
        voice = make_voice(number, 120, 1.2, RATE)
        soundfile.write(folder / "speech" / speaker / "a.wav", voice, RATE)
    return folder / "speech"


def write_table(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain"
    quoted = '"' + name.replace('"', '""') + '"'
    path.write_text(
        f"{head}\nfine,ann/a.wav,0.5,bob/a.wav,0.6\n{quoted},bob/a.wav,0.5,ann/a.wav,1\n"
    )
    return path


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", [name for name in LEAVING if "\0" not in name])
def test_a_mixture_that_is_called_after_another_place_is_refused(name, speech, tmp_path, capsys):
    """``render`` wrote outside of --out, over a user's own WAV file."""
    table = write_table(tmp_path / "t" / "test.csv", name)
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "x.wav").write_bytes(b"mine")
    before = list_files(tmp_path)
    words = [str(table), "--corpus", f"mine={speech}", "--nj", "1"]
    assert main(["render", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert "mixture_ID" in error[-1] and error[-1].startswith("error: ")
    assert main(["validate", *words]) == 1
    assert "bad-row" in capsys.readouterr().out
    rows, faults = read_table(table)
    assert rows[0].fault == "" and rows[1].fault and len(faults) == 1
    assert list_files(tmp_path) == before


@pytest.mark.parametrize("name", LEAVING)
def test_estimates_tracks_and_speakers_are_kept_in_their_folders(name, tmp_path):
    with pytest.raises(UserError):
        ModelFolder(tmp_path).path(1, name)
    with pytest.raises(UserError, match="--tag"):
        check_tag(name)
    stamp = {"size": 1, "changed_ns": 1, "sha256": ""}
    record = {"recording": "/a.wav", "channel": 0, "stamp": stamp, "settings": {}, "measured": {}}
    record |= {"program": "separation separate", "version": 1}
    place = tmp_path / "a.json"
    place.write_text(json.dumps(record | {"outputs": {"a_s1.wav": stamp}}))
    assert read_record(place) is not None
    place.write_text(json.dumps(record | {"outputs": {name: stamp}}))
    assert read_record(place) is None  # its files would be removed when it is separated again


@pytest.mark.parametrize("name", [name for name in LEAVING if name and "\0" not in name])
def test_names_on_the_hub_stay_in_its_caches(name):
    for text in (f"user/model@{name}", f"user/{name}", f"{name}/model"):
        with pytest.raises(UserError):
            find_checkpoint(text)


@pytest.mark.parametrize("name", ["..", "../x", "/canary/x", "a\x01b", "x" * 300])
def test_a_speaker_that_is_called_after_another_place_is_refused(name, speech, tmp_path):
    """Packs of decoded speech are called after speakers."""
    soundfile.write(tmp_path / "a.wav", np.ones(RATE, np.float32) / 9, RATE)
    (tmp_path / "utterances.csv").write_text(f"speaker,path\n{name},a.wav\n")
    with pytest.raises(UserError, match="speaker"):
        list_recordings("speech", tmp_path, Reading())
