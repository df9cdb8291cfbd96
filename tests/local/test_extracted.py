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


@pytest.mark.parametrize("text", ["{", '{"id": 1}', "[1]"])
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
