"""Utterances that are no files: Kaldi's segments, archives and commands, Lhotse's manifests."""

import gzip
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local.speech import find_root, list_recordings
from separation.cli.main import main
from separation.corpora.extract import Piece, extract_pieces, read_source
from separation.corpora.plugin import Recording
from separation.errors import UserError
from separation.files import read_rows
from tests.conftest import make_voice
from tests.support.inputs_page import is_documented

RATE = 8000


def make_voices() -> dict[str, np.ndarray]:
    """Two utterances of 2.2 s of each of six people, as 16-bit values."""
    return {
        f"s{number}-u{item}": np.round(
            make_voice(9 * number + item, 100 + 20 * number, 2.2, RATE) * 2**14
        ).astype(np.int16)
        for number in range(6)
        for item in range(2)
    }


VOICES = make_voices()


def write_wav(samples: np.ndarray) -> bytes:
    handle = io.BytesIO()
    soundfile.write(handle, samples, RATE, "PCM_16", format="WAV")
    return handle.getvalue()


def write_tables(folder: Path, lines: list[str], names: list[str]) -> None:
    (folder / "wav.scp").write_text("".join(f"{line}\n" for line in lines))
    (folder / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in names))
    (folder / "text").write_text("".join(f"{name} words of {name}\n" for name in names))


def write_segments(folder: Path) -> None:
    """A recording a person, a pause of half a second between its two utterances."""
    lines, segments = [], []
    for number in range(6):
        first, second = VOICES[f"s{number}-u0"], VOICES[f"s{number}-u1"]
        whole = np.concatenate([first, np.zeros(RATE // 2, np.int16), second])
        (folder / f"r{number}.wav").write_bytes(write_wav(whole))
        lines.append(f"r{number} {folder}/r{number}.wav")
        segments += [f"s{number}-u0 r{number} 0.0 2.2", f"s{number}-u1 r{number} 2.7 -1"]
    write_tables(folder, lines, sorted(VOICES))
    (folder / "segments").write_text("\n".join(segments) + "\n")


def write_archive(folder: Path) -> None:
    lines = []
    with open(folder / "raw.ark", "wb") as handle:
        for name, samples in VOICES.items():
            handle.write(f"{name} ".encode())
            lines.append(f"{name} {folder}/raw.ark:{handle.tell()}")
            handle.write(write_wav(samples))
    write_tables(folder, lines, sorted(VOICES))


def write_commands(folder: Path) -> None:
    lines = []
    for name, samples in VOICES.items():
        (folder / f"{name}.sph").write_bytes(write_wav(samples))
        lines.append(f"{name} cat {folder}/{name}.sph |")
    write_tables(folder, lines, sorted(VOICES))


def write_lhotse(folder: Path) -> None:
    recordings, supervisions = [], []
    for name, samples in VOICES.items():
        padded = np.concatenate([np.zeros(RATE, np.int16), samples])
        (folder / f"{name}.wav").write_bytes(write_wav(padded))
        source = {"type": "file", "channels": [0], "source": f"{name}.wav"}
        recordings.append({"id": f"rec-{name}", "sources": [source], "sampling_rate": RATE})
        supervision = {"id": name, "recording_id": f"rec-{name}", "start": 1.0, "duration": 2.2}
        supervision |= {"channel": 0, "speaker": name.split("-")[0], "text": f"words of {name}"}
        supervisions.append(supervision)
    (folder / "mine_recordings_train.jsonl.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, recordings)).encode())
    )
    with gzip.open(folder / "mine_supervisions_train.jsonl.gz", "wt") as handle:
        handle.write("\n".join(map(json.dumps, supervisions)))


KINDS = {
    "segments": write_segments,
    "archive": write_archive,
    "commands": write_commands,
    "lhotse": write_lhotse,
}


def call(folder: Path, out: Path, *overrides: str, last: int = 2) -> int:
    words = ["--recipe=folder/ConvTasNet", f"--corpus=speech={folder}", f"--data={out}"]
    words += [f"--exp={out}", "--nj=1", *(f"--set={text}" for text in overrides)]
    for stage in ("preflight", "corpus", "metadata")[: last + 1]:
        if code := main([stage, *words]):
            return code
    return 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_takes_them(kind, tmp_path, capsys):
    """They were refused with their line."""
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    KINDS[kind](folder)
    allowed = ["corpus.allow_commands=true"] if kind == "commands" else []
    assert call(folder, out, *allowed) == 0
    said = capsys.readouterr().out.splitlines()
    assert is_documented(next(line for line in said if "cut out into" in line))
    (table,) = out.rglob("corpus.csv")
    rows = {row["utterance"]: row for row in read_rows(table)}
    assert set(rows) == set(VOICES) and rows["s3-u1"]["transcript"] == "words of s3-u1"
    (extracted,) = (out / "corpora" / "speech").iterdir()
    for name, row in rows.items():
        samples, rate = soundfile.read(extracted / row["path"], dtype="int16")
        assert rate == RATE and row["speaker"] == name.split("-")[0]
        np.testing.assert_array_equal(samples, VOICES[name])
    assert call(folder, out, *allowed) == 0
    assert "stage 0 preflight: done already" in capsys.readouterr().out


def int_bytes(*numbers: int, n_bytes: int = 4) -> bytes:
    return b"".join(number.to_bytes(n_bytes, "little") for number in numbers)


def write_entry(kind: str, samples: np.ndarray) -> bytes:
    """An utterance in an archive, as Kaldi and kaldiio 2.18 write it."""
    n, floats, handle = len(samples), samples.astype("<f4"), io.BytesIO()
    if kind in ("FLAC", "AUDIO"):
        soundfile.write(handle, samples, RATE, "PCM_16", format="FLAC")
    elif kind == "NPY":
        np.save(handle, samples)
    data = handle.getvalue()
    steps = (samples.astype(np.int32) + 32768).astype("<u2")  # kTwoByteSignedInteger
    span = np.array([-32768, 65535], "<f4").tobytes()
    sized = np.array([(4, number) for number in samples], "i1, <i4").tobytes()
    return {
        "FLAC": data,
        "AUDIO": b"AUDIO\3" + int_bytes(len(data), n_bytes=3) + data,
        "NPY": b"NPY\3" + int_bytes(len(data), n_bytes=3) + data,
        "FV": b"\0BFV \4" + int_bytes(n) + floats.tobytes(),
        "FM": b"\0BFM \4" + int_bytes(n) + b"\4" + int_bytes(1) + floats.tobytes(),
        "DM": b"\0BDM \4" + int_bytes(1) + b"\4" + int_bytes(n) + floats.astype("<f8").tobytes(),
        "CM2": b"\0BCM2 " + span + int_bytes(n, 1) + steps.tobytes(),
        "int32": b"\0B\4" + int_bytes(n) + sized,
        "text": f" [ {' '.join(map(str, samples))} ]\n".encode(),
    }[kind]


ENTRIES = ("FLAC", "AUDIO", "NPY", "FV", "FM", "DM", "CM2", "int32", "text")


@pytest.mark.parametrize("kind", ENTRIES)
def test_every_kind_of_entry_in_an_archive(kind, tmp_path):
    """They were refused as no WAV."""
    samples, path = VOICES["s0-u0"], tmp_path / "raw.ark"
    entry = write_entry(kind, samples)
    path.write_bytes(b"u0 " + entry + b"u1 " + entry)
    for place in (f"{path}:3", f"{path}:{6 + len(entry)}"):
        found, rate = read_source(place, RATE)
        np.testing.assert_array_equal(found, samples[:, None] / np.float32(32768))
        assert rate == RATE
        part, _ = read_source(f"{place}[100:149]", RATE)
        np.testing.assert_array_equal(part, found[100:150])
    if kind not in ("FLAC", "AUDIO"):
        with pytest.raises(UserError, match="archive_rate"):
            read_source(f"{path}:3")
    path.write_bytes(b"u0 " + entry[:-20])
    with pytest.raises(UserError):
        read_source(f"{path}:3", RATE)


def test_compressed_matrices_are_those_of_kaldi(tmp_path):
    """Kaldi's formulas, by hand: 4 percentiles a column, three pieces of 64, 128 and 63 steps."""
    path, span = tmp_path / "raw.ark", np.array([-1, 2], "<f4").tobytes()
    columns = np.array([0, 32767, 32768, 65535], "<u2").tobytes()
    numbers = np.array([0, 32, 64, 128, 192, 255], "u1").tobytes()
    path.write_bytes(b"\0BCM " + span + int_bytes(6, 1) + columns + numbers)
    low, high = -1 + 2 * 32767 / 65535, -1 + 2 * 32768 / 65535
    expected = [-1, (low - 1) / 2, low, (low + high) / 2, high, 1]
    np.testing.assert_allclose(read_source(f"{path}:0", RATE)[0][:, 0], expected, atol=1e-6)
    path.write_bytes(b"\0BCM3 " + span + int_bytes(6, 1) + numbers)
    expected = -1 + 2 * np.array([0, 32, 64, 128, 192, 255]) / 255
    np.testing.assert_allclose(read_source(f"{path}:0", RATE)[0][:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("entry", [b"PKL\x80\4", b"\0BXX ", b"nonsense", b"\0BFV \4\0\0\0\0"])
def test_entries_that_hold_no_audio(entry, tmp_path):
    (tmp_path / "raw.ark").write_bytes(entry)
    with pytest.raises(UserError, match=r"raw\.ark:0: "):
        read_source(f"{tmp_path}/raw.ark:0", RATE)


def test_numbers_are_taken_at_the_rate_that_is_said(tmp_path, capsys):
    lines = []
    with open(tmp_path / "raw.ark", "wb") as handle:
        for name, samples in VOICES.items():
            handle.write(f"{name} ".encode())
            lines.append(f"{name} {tmp_path}/raw.ark:{handle.tell()}")
            handle.write(write_entry("FM", samples))
    write_tables(tmp_path, lines, sorted(VOICES))
    assert call(tmp_path, tmp_path / "out", last=0) == 2
    said = capsys.readouterr().err
    assert "line 1" in said and is_documented(said.splitlines()[-2]), said
    assert call(tmp_path, tmp_path / "out", f"corpus.archive_rate={RATE}", last=1) == 0


def test_what_a_command_writes_and_cuts_off(tmp_path, capsys):
    """It was taken as a shorter utterance."""
    (tmp_path / "a.wav").write_bytes(write_wav(VOICES["s0-u0"]))
    write_tables(tmp_path, [f"s1-u0 head -c 9000 {tmp_path}/a.wav |"], ["s1-u0"])
    assert call(tmp_path, tmp_path / "out", "corpus.allow_commands=true", last=0) == 2
    assert "is truncated" in capsys.readouterr().err


def test_floats_above_full_scale_are_not_clipped(tmp_path):
    samples = 9 * (VOICES["s0-u0"] / np.float32(32768))
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    row = Recording(speaker="s0", path="", prompt="", utterance="u0")
    piece = Piece(recording=row, source=str(tmp_path / "a.wav"), where="line 1")
    extract_pieces([piece], tmp_path / "out", 1)
    found, _ = soundfile.read(tmp_path / "out" / piece.path)
    np.testing.assert_allclose(found, samples / np.abs(samples).max(), atol=1e-4)


def test_commands_run_only_where_they_are_allowed(tmp_path, capsys):
    witness = tmp_path / "ran"
    write_tables(tmp_path, [f"s1-u0 touch {witness}; cat a.wav |"], ["s1-u0"])
    assert call(tmp_path, tmp_path / "out", last=0) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert is_documented(said) and "wav.scp: line 1" in said and not witness.exists()


@pytest.mark.parametrize(
    ("scp", "segments"),
    [
        ("s1-u0 /nowhere/a.ark:17", ""),
        ("s1-u0 {folder}/utt2spk:0", ""),
        (f"s1-u0 {sys.executable} -c 'raise SystemExit(3)' |", ""),
        ("r {folder}/a.wav", "s1-u0 r 1.0 99.0"),
        ("r {folder}/a.wav", "s1-u0 r 1.0"),
        ("r {folder}/a.wav", "s1-u0 q 0.0 1.0"),
        ("s1-u0 {folder}/a.ark:17[0:9]", ""),
    ],
)
def test_what_cannot_be_cut_out_is_named_with_its_line(scp, segments, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(write_wav(VOICES["s0-u0"]))
    write_tables(tmp_path, [scp.format(folder=tmp_path)], ["s1-u0"])
    if segments:
        (tmp_path / "segments").write_text(f"{segments}\n")
    assert call(tmp_path, tmp_path / "out", "corpus.allow_commands=true", last=0) == 2
    said = capsys.readouterr().err
    assert "line 1" in said and is_documented(said.strip().splitlines()[-1]), said


SOURCE = '{"id": "r", "sources": [{"type": "file", "source": "a.wav"}]}'


@pytest.mark.parametrize(
    "wrong",
    ['"start": "soon"', '"start": [1]', '"duration": {}', '"channel": []', '"gender": [1]'],
)
def test_values_of_other_types_in_a_manifest_are_one_sentence(wrong, tmp_path, capsys):
    (tmp_path / "recordings.jsonl").write_text(SOURCE)
    known = '{"id": "u", "recording_id": "r", "speaker": "s"'
    (tmp_path / "supervisions.jsonl").write_text(f"{known}, {wrong}}}")
    assert call(tmp_path, tmp_path / "out", last=0) == 2
    said = capsys.readouterr().err
    assert "line 1" in said and is_documented(said.strip().splitlines()[-1]), said


@pytest.mark.parametrize(
    "text",
    ["{", '{"id": 1}', "[1]", '{"id": "r", "sources": [7]}', '{"id": "r", "sources": {"a": 1}}'],
)
def test_manifests_that_are_none(text, tmp_path, capsys):
    (tmp_path / "recordings.jsonl").write_text(text)
    (tmp_path / "supervisions.jsonl").write_text('{"id": "u", "recording_id": "r"}')
    assert call(tmp_path, tmp_path / "out", last=0) == 2
    assert is_documented(capsys.readouterr().err.splitlines()[-1])


def test_without_a_recipe_nobody_cuts_them_out(tmp_path):
    write_lhotse(tmp_path)
    for ask in (list_recordings, find_root):
        with pytest.raises(ValueError, match="give the folder that it names"):
            ask(tmp_path)
