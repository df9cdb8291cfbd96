"""``python -m separation validate``: clean sets pass, and every planted fault is told by name.

The sets are made here with NumPy and soundfile alone; nothing is shared with the checks.
"""

import csv
import functools
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.__main__ import main
from tests.support.wsj0_tree import LISTS, write_wsj0

RATE = 8000
IDS = [
    "1089-134686-0000_121-127105-0031",
    "1188-133604-0001_237-126133-0007",
    "260-123286-0014_1320-122612-0002",
    "1089-134686-0005_237-126133-0009",
]


@functools.cache
def speak(seed: int, duration_s: float, rate: int = RATE) -> np.ndarray:
    """Harmonics of a wandering pitch in syllables, and some breath; 16-bit integers."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * rate)) / rate
    pitch_hz = generator.uniform(90, 230) * (1 + 0.08 * np.sin(2 * np.pi * 0.6 * time + seed))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
    voiced = sum(np.sin(k * phase + generator.uniform(0, 6)) / k for k in range(1, 14))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * generator.uniform(2.5, 4) * time + seed)
    breath = generator.standard_normal(len(time)) * 0.05
    return np.round(syllables * (voiced + breath) * generator.uniform(1500, 2500)).astype(np.int16)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype)


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def write_mixture(folder: Path, name: str, sources: list[np.ndarray], mix: str = "mix") -> None:
    """Mixture and sources, the mixture their exact sum."""
    for number, source in enumerate(sources, 1):
        write(folder / f"s{number}" / f"{name}.wav", source)
    write(folder / mix / f"{name}.wav", np.sum(sources, axis=0).astype(np.int16))


def write_folder(folder: Path, seed: int = 0, ids: list[str] = IDS, mix: str = "mix") -> Path:
    """A clean set of mixtures as audio."""
    for number, name in enumerate(ids):
        pair = [speak(seed + 10 * number + k, 1.6 + 0.2 * number) for k in range(2)]
        write_mixture(folder, name, pair, mix)
    return folder


def write_corpus(root: Path) -> Path:
    """Six speakers of three utterances at 16 kHz, in folders of free names."""
    for speaker in range(6):
        for item in range(3):
            voice = speak(100 + 10 * speaker + item, 1.8 + 0.1 * item, 16000)
            write(root / f"spk{speaker}" / f"say{item}.wav", voice, 16000)
    return root


def make_rows(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Rows of a mixture table for pairs such as ``("0/1", "3/0")``: speaker/item."""
    rows = []
    for number, pair in enumerate(pairs):
        row = {"mixture_ID": f"mix{number}"}
        for k, name in enumerate(pair, 1):
            speaker, item = name.split("/")
            row[f"source_{k}_path"] = f"spk{speaker}/say{item}.wav"
            row[f"source_{k}_gain"] = f"{0.8 - 0.1 * k:.6f}"
        for k, name in enumerate(pair, 1):
            row[f"speaker_{k}_ID"] = f"spk{name.split('/')[0]}"
            row[f"speaker_{k}_sex"] = "FM"[int(name[0]) % 2]
        rows.append(row)
    return rows


PAIRS = [("0/0", "1/0"), ("2/0", "3/0"), ("4/1", "5/1"), ("0/1", "3/2")]


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def validate(monkeypatch, capsys, tmp_path):
    """Run the command in this process: exit code, report (None after a mistake), its output."""

    plain = lambda columns, path: path.write_bytes(repr(sorted(columns)).encode())  # noqa: E731
    monkeypatch.setattr("separation.plots.draw_histograms", plain)  # drawing takes a second

    def run(*arguments: object, nj: int = 1) -> tuple[int, dict | None, str]:
        out = tmp_path / "report"
        command = ["validate", "--out", out, "--nj", nj, *arguments]
        monkeypatch.setattr("sys.argv", ["separation", *map(str, command)])
        code = main()
        printed = capsys.readouterr()
        file = out / "validation.json"
        report = json.loads(file.read_text()) if code != 2 else None
        return code, report, printed.out + printed.err

    return run


def list_found(report: dict, place: int = 0) -> dict[str, list[str]]:
    """The checks that found something, with the mixtures' names."""
    checks = report["sets"][place]["checks"]
    return {
        check: [entry["name"] for entry in found["first"]]
        for check, found in checks.items()
        if found and found["count"]
    }


def test_clean_folder_has_no_findings_and_true_statistics(validate, tmp_path):
    folder = write_folder(tmp_path / "test")
    code, report, text = validate(folder)
    assert code == 0 and report["mixtures_concerned"] == 0, text
    (own,) = report["sets"]
    assert own["mixtures"] == 4 and own["valid_share"] == 1.0
    assert own["checks"]["level-error"] is None and "| level-error | not stated |" in text
    assert own["checks"]["leakage"] is None
    known = own["statistics"]
    lengths = [1.6, 1.8, 2.0, 2.2]
    assert known["hours"] == pytest.approx(sum(lengths) / 3600)
    assert known["length_s"]["median"] == pytest.approx(1.9)
    assert known["speakers"] == 6
    pairs = [[read(folder / s / f"{name}.wav").astype(float) for s in ("s1", "s2")] for name in IDS]
    differences = [10 * math.log10(np.mean(a**2) / np.mean(b**2)) for a, b in pairs]
    assert known["level_difference_db"]["mean"] == pytest.approx(np.mean(differences), abs=1e-6)
    assert known["level_difference_db"]["sd"] == pytest.approx(np.std(differences), abs=1e-6)
    peak = max(np.abs(a + b).max() for a, b in pairs) / 32768
    assert known["peak"]["max"] == pytest.approx(peak)
    assert "| valid | 100.00 % |" in (tmp_path / "report" / "validation.md").read_text()


def test_input_si_sdr_of_orthogonal_sources_is_their_level_difference(validate, tmp_path):
    """Two tones of whole periods at 6 dB: the mixture scores +6.02 and -6.02 dB, mean 0."""
    time = np.arange(2 * RATE) / RATE
    loud = np.round(8000 * np.sin(2 * np.pi * 200 * time)).astype(np.int16)
    soft = np.round(4000 * np.sin(2 * np.pi * 310 * time)).astype(np.int16)
    write_mixture(tmp_path / "set", "tones", [loud, soft])
    write_mixture(tmp_path / "set", "same_level", [loud, np.roll(loud, 10)])  # a quarter period
    code, report, _ = validate(tmp_path / "set")
    assert code == 0
    assert report["sets"][0]["statistics"]["input_si_sdr_db"] == pytest.approx(0.0, abs=1e-3)
    assert report["sets"][0]["statistics"]["level_difference_db"]["max"] == pytest.approx(
        20 * math.log10(2), abs=1e-3
    )


def _truncate(folder: Path, name: str) -> None:
    path = folder / "s1" / f"{name}.wav"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _corrupt(folder: Path, name: str) -> None:
    (folder / "mix" / f"{name}.wav").write_bytes(b"RIFF this is no audio at all" * 40)


def _empty(folder: Path, name: str) -> None:
    path = folder / "s2" / f"{name}.wav"
    path.write_bytes(path.read_bytes()[:44])


def _rewrite(folder: Path, name: str, part: str, change, rate=RATE, subtype="PCM_16") -> None:
    path = folder / part / f"{name}.wav"
    write(path, change(read(path)), rate, subtype)


def _raise_rate(folder: Path, name: str) -> None:
    for part in ("mix", "s1", "s2"):
        _rewrite(folder, name, part, lambda x: np.repeat(x, 2), rate=16000)


def _remix(folder: Path, name: str, change) -> None:
    """New sources, and the mixture their sum again."""
    sources = [read(folder / part / f"{name}.wav") for part in ("s1", "s2")]
    write_mixture(folder, name, [np.asarray(s).astype(np.int16) for s in change(*sources)])


def _poison(folder: Path, name: str) -> None:
    def change(samples):
        floats = samples / np.float32(32768)
        floats[[100, 200]] = np.nan, np.inf
        return floats.astype(np.float32)

    _rewrite(folder, name, "s1", change, subtype="FLOAT")


def _saturate(folder: Path, name: str) -> None:
    sources = [read(folder / part / f"{name}.wav").astype(int) * 8 for part in ("s1", "s2")]
    quiet = [np.clip(source, -30000, 30000) for source in sources]
    for part, source in zip(("s1", "s2"), quiet, strict=True):
        write(folder / part / f"{name}.wav", source.astype(np.int16))
    write(folder / "mix" / f"{name}.wav", np.clip(sum(quiet), -32768, 32767).astype(np.int16))


def _exceed(folder: Path, name: str) -> None:
    """Float files whose samples go beyond 1.0, as some generators leave them."""
    parts = [read(folder / p / f"{name}.wav").astype(np.float32) / 7000 for p in ("s1", "s2")]
    for part, samples in zip(("s1", "s2", "mix"), [*parts, parts[0] + parts[1]], strict=True):
        write(folder / part / f"{name}.wav", samples / 1.1, subtype="FLOAT")


def _exchange(folder: Path, name: str) -> None:
    """Another mixture's first source: what a wrong order of files does."""
    other = read(folder / "s1" / f"{IDS[-1]}.wav")
    _rewrite(folder, name, "s1", lambda x: other[: len(x)])


def _repeat_speaker(folder: Path, name: str) -> None:
    for part in ("mix", "s1", "s2"):
        path = folder / part / f"{name}.wav"
        path.rename(path.with_name(f"{name.split('_')[0]}_{name.split('-')[0]}-1-0001.wav"))


def _copy(folder: Path, name: str) -> None:
    for part in ("mix", "s1", "s2"):
        shutil.copy(folder / part / f"{name}.wav", folder / part / "a_copy.wav")


def _pair_again(folder: Path, name: str) -> None:
    pair = [read(folder / part / f"{name}.wav") for part in ("s1", "s2")]
    again = "_".join(reversed(name.split("_")))
    write_mixture(folder, again, [(pair[1] * 0.7).astype(np.int16), pair[0]])


FOLDER_FAULTS = {
    "absent": (lambda f, n: (f / "s2" / f"{n}.wav").unlink(), {"unreadable"}),
    "absent mixture": (lambda f, n: (f / "mix" / f"{n}.wav").unlink(), {"unreadable"}),
    "truncated": (_truncate, {"unreadable"}),
    "corrupt": (_corrupt, {"unreadable"}),
    "header only": (_empty, {"unreadable"}),
    "16 kHz": (_raise_rate, {"wrong-rate"}),
    "16 kHz source": (
        lambda f, n: _rewrite(f, n, "s1", lambda x: np.repeat(x, 2), rate=16000),
        {"wrong-rate"},
    ),
    "stereo": (
        lambda f, n: _rewrite(f, n, "s1", lambda x: np.stack([x, x], 1)),
        {"wrong-channels"},
    ),
    "cut source": (lambda f, n: _rewrite(f, n, "s1", lambda x: x[:-80]), {"length-mismatch"}),
    "cut mixture": (lambda f, n: _rewrite(f, n, "mix", lambda x: x[:-1]), {"length-mismatch"}),
    "short": (lambda f, n: _remix(f, n, lambda a, b: (a[:4000], b[:4000])), {"too-short"}),
    "NaN": (_poison, {"non-finite"}),
    "silent source": (lambda f, n: _remix(f, n, lambda a, b: (a * 0, b)), {"silent"}),
    "all silent": (lambda f, n: _remix(f, n, lambda a, b: (a * 0, b * 0)), {"silent"}),
    "70 dB below": (lambda f, n: _remix(f, n, lambda a, b: (a // 1200, b * 3)), {"silent"}),
    "clipped": (_saturate, {"clipped"}),
    "above 1": (_exceed, {"clipped"}),
    "offset": (lambda f, n: _remix(f, n, lambda a, b: (a + 500, b)), {"dc-offset"}),
    "other gain": (lambda f, n: _rewrite(f, n, "mix", lambda x: x // 2), {"not-the-sum"}),
    "shifted": (lambda f, n: _rewrite(f, n, "s2", lambda x: np.roll(x, 1)), {"not-the-sum"}),
    "exchanged": (_exchange, {"not-the-sum"}),
    "twice": (lambda f, n: _remix(f, n, lambda a, b: (a, a * 0.4)), {"same-source-twice"}),
    "one speaker": (_repeat_speaker, {"same-speaker"}),
    "copied": (_copy, {"duplicate"}),
    "paired again": (_pair_again, {"duplicate"}),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_planted_fault_in_a_folder_is_told_by_its_name(validate, tmp_path, fault):
    folder = write_folder(tmp_path / "test")
    before = {p: p.read_bytes() for p in folder.rglob("*.wav")}
    plant, expected = FOLDER_FAULTS[fault]
    plant(folder, IDS[1])
    assert {p: p.read_bytes() for p in folder.rglob("*.wav")} != before
    code, report, text = validate(folder)
    found = list_found(report)
    assert code == 1 and set(found) == expected, text
    assert all(len(names) == 1 for names in found.values()), text
    assert report["mixtures_concerned"] == 1 and f"| {min(expected)} | 1 |" in text


def _state_levels(rows: list[dict[str, str]], root: Path, off_db: float) -> None:
    """``source_i_loudness_lufs`` as a draw writes it; the first source ``off_db`` off."""
    import pyloudnorm

    for row in rows:
        for k in (1, 2):
            samples, rate = soundfile.read(root / row[f"source_{k}_path"])
            loudness = pyloudnorm.Meter(rate).integrated_loudness(samples)
            asked = loudness + 20 * math.log10(float(row[f"source_{k}_gain"]))
            row[f"source_{k}_loudness_lufs"] = f"{asked:.2f}"
    rows[0]["source_1_loudness_lufs"] = f"{float(rows[0]['source_1_loudness_lufs']) + off_db:.2f}"


def _state_difference(rows: list[dict[str, str]], root: Path, off_db: float) -> None:
    """``level_difference_2_db``, from 16 kHz: below 4 kHz lies nearly all of the power."""
    for row in rows:
        pair = [soundfile.read(root / row[f"source_{k}_path"])[0] for k in (1, 2)]
        n_samples = min(map(len, pair))
        powers = [
            np.mean((float(row[f"source_{k}_gain"]) * samples[:n_samples]) ** 2)
            for k, samples in zip((1, 2), pair, strict=True)
        ]
        row["level_difference_2_db"] = f"{10 * math.log10(powers[0] / powers[1]):.3f}"
    rows[0]["level_difference_2_db"] = f"{float(rows[0]['level_difference_2_db']) + off_db:.3f}"


def _change_file(rows: list[dict[str, str]], root: Path, change) -> None:
    change(root / rows[0]["source_1_path"])


def _make_stereo(path: Path) -> None:
    write(path, np.stack([read(path)] * 2, 1), 16000)


def _edit(rows: list[dict[str, str]], **values: str) -> None:
    rows[0].update(values)


TABLE_FAULTS = {
    "absent": (lambda rows, root: _change_file(rows, root, Path.unlink), {"unreadable"}),
    "truncated": (
        lambda rows, root: _change_file(
            rows, root, lambda path: path.write_bytes(path.read_bytes()[:9000])
        ),
        {"unreadable"},
    ),
    "stereo": (lambda rows, root: _change_file(rows, root, _make_stereo), {"wrong-channels"}),
    "6 kHz": (
        lambda rows, root: _change_file(rows, root, lambda p: write(p, speak(1, 2, 6000), 6000)),
        {"wrong-rate"},
    ),
    "NaN": (
        lambda rows, root: _change_file(
            rows, root, lambda p: write(p, np.full(32000, np.nan, np.float32), 16000, "FLOAT")
        ),
        {"non-finite"},
    ),
    "no gain": (lambda rows, root: _edit(rows, source_1_gain="loud"), {"bad-row"}),
    "outside": (lambda rows, root: _edit(rows, source_1_path="../x.wav"), {"bad-row"}),
    "ID again": (lambda rows, root: _edit(rows, mixture_ID="mix1"), {"repeated-id"}),
    "pair again": (
        lambda rows, root: rows.append(
            rows[2]
            | {"mixture_ID": "again", "source_1_path": rows[2]["source_2_path"]}
            | {"source_2_path": rows[2]["source_1_path"]}
        ),
        {"duplicate"},
    ),
    "speaker twice": (lambda rows, root: _edit(rows, speaker_2_ID="spk0"), {"same-speaker"}),
    "source twice": (
        lambda rows, root: _edit(rows, source_2_path=rows[0]["source_1_path"]),
        {"same-source-twice"},
    ),
    "too loud": (lambda rows, root: _edit(rows, source_1_gain="14.0"), {"clipped"}),
    "too soft": (lambda rows, root: _edit(rows, source_1_gain="0.0001"), {"silent"}),
    "loudness": (lambda rows, root: _state_levels(rows, root, 0.2), {"level-error"}),
    "difference": (lambda rows, root: _state_difference(rows, root, 0.2), {"level-error"}),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_planted_fault_in_a_table_is_told_by_its_name(validate, tmp_path, fault):
    root = write_corpus(tmp_path / "corpus")
    rows = make_rows(PAIRS)
    plant, expected = TABLE_FAULTS[fault]
    plant(rows, root)
    table = write_table(tmp_path / "test.csv", rows)
    code, report, text = validate(table, "--corpus", f"speech={root}")
    found = list_found(report)
    assert code == 1 and set(found) == expected, text
    assert all(len(names) == 1 for names in found.values()), text


def test_table_without_asked_levels_says_not_stated(validate, tmp_path):
    root = write_corpus(tmp_path / "corpus")
    table = write_table(tmp_path / "libri2mix_test-clean.csv", make_rows(PAIRS))
    code, report, text = validate(table, "--corpus", f"speech={root}", nj=2)
    assert code == 0, text
    own = report["sets"][0]
    assert own["name"] == "test" and own["checks"]["level-error"] is None
    assert own["statistics"]["level_error_db"] is None
    assert text.count("not stated") == 2
    assert own["statistics"]["sexes"] == {"F-M": 4} and own["statistics"]["speakers"] == 6


@pytest.mark.parametrize("state", [_state_levels, _state_difference])
def test_asked_levels_that_are_kept_are_fine(validate, tmp_path, state):
    root = write_corpus(tmp_path / "corpus")
    rows = make_rows(PAIRS)
    state(rows, root, 0.0)
    table = write_table(tmp_path / "train.csv", rows)
    code, report, text = validate(table, "--corpus", f"speech={root}")
    found = report["sets"][0]["checks"]["level-error"]
    assert code == 0 and found == {"count": 0, "checked": 4, "first": []}, text
    assert abs(report["sets"][0]["statistics"]["level_error_largest_db"]) < 0.1
    rows[0] |= {key: "" for key in rows[0] if "lufs" in key or "level_difference" in key}
    write_table(table, rows)
    code, report, _ = validate(table, "--corpus", f"speech={root}")
    assert report["sets"][0]["checks"]["level-error"]["checked"] == 3


def test_pieces_of_one_pair_of_utterances_are_different_mixtures(validate, tmp_path):
    root = write_corpus(tmp_path / "corpus")
    rows = make_rows([("0/0", "1/0")] * 3)
    for row, start in zip(rows, ("0", "4000", "4000"), strict=True):
        for k in (1, 2):
            row |= {f"source_{k}_start": start, f"source_{k}_n_samples": "20000"}
    table = write_table(tmp_path / "train.csv", rows)
    code, report, text = validate(table, "--corpus", f"speech={root}")
    assert code == 1 and list_found(report) == {"duplicate": ["mix2"]}, text


def test_noise_is_part_of_the_sum_where_it_is_there(validate, tmp_path):
    folder = write_folder(tmp_path / "test", mix="mix_clean")
    for name in IDS:
        clean = read(folder / "mix_clean" / f"{name}.wav")
        noise = np.random.default_rng(5).integers(-300, 300, len(clean)).astype(np.int16)
        write(folder / "noise" / f"{name}.wav", noise)
        write(folder / "mix_both" / f"{name}.wav", clean + noise)
    for kind in ("mix_clean", "mix_both"):
        code, report, text = validate(folder, "--type", kind)
        assert code == 0 and report["sets"][0]["checks"]["not-the-sum"]["checked"] == 4, text
    _rewrite(folder, IDS[0], "noise", lambda x: x // 2)
    code, report, text = validate(folder, "--type", "mix_both")
    assert code == 1 and list_found(report) == {"not-the-sum": [IDS[0]]}, text
    shutil.rmtree(folder / "noise")
    code, report, _ = validate(folder, "--type", "mix_both")
    assert code == 0 and report["sets"][0]["checks"]["not-the-sum"] is None


def test_noisy_table_needs_its_noise(validate, tmp_path):
    root = write_corpus(tmp_path / "corpus")
    rows = [row | {"noise_path": "n.wav", "noise_gain": "0.5"} for row in make_rows(PAIRS)]
    write(tmp_path / "wham" / "n.wav", speak(7, 3.0, 16000), 16000)
    table = write_table(tmp_path / "test.csv", rows)
    speech, wham = f"speech={root}", f"wham={tmp_path / 'wham'}"
    clean, both = (
        validate(table, "--corpus", speech),
        validate(table, "--corpus", speech, "--corpus", wham),
    )
    assert clean[0] == both[0] == 0, clean[2] + both[2]
    measured = [run[1]["sets"][0]["statistics"]["input_si_sdr_db"] for run in (clean, both)]
    assert measured[1] < measured[0]
    (tmp_path / "wham" / "n.wav").unlink()
    code, report, text = validate(table, "--corpus", speech, "--corpus", wham)
    assert code == 1 and set(list_found(report)) == {"unreadable"}, text
    code, _, text = validate(table, "--corpus", speech, "--type", "mix_both")
    assert code == 2 and "add --corpus wham=DIR" in text


def write_tree(root: Path, test_ids: list[str]) -> Path:
    write_folder(root / "train", 500, ["1-1-0001_2-1-0001", "3-1-0001_4-1-0001"])
    write_folder(root / "test", 700, test_ids)
    return root


def test_leakage_between_the_splits_of_a_tree(validate, tmp_path):
    tree = write_tree(tmp_path / "tree", ["5-1-0001_6-1-0001", "5-1-0002_1-2-0009"])
    code, report, text = validate(tree)
    assert [own["name"] for own in report["sets"]] == ["train", "test"]
    assert code == 1, text
    assert list_found(report) == {"leakage": ["1-1-0001_2-1-0001"]}
    assert list_found(report, 1) == {"leakage": ["5-1-0002_1-2-0009"]}
    shared = [{"sets": ["train", "test"], "count": 1, "speakers": ["1"]}]
    assert report["shared_speakers"] == shared and "train and test share 1 speaker(s): 1" in text
    code, report, text = validate(tree, "--allow-shared-speakers")
    assert code == 0 and report["shared_speakers"] == shared
    assert "| leakage | 1 (allowed) | 1 (allowed) |" in text


def test_utterance_and_audio_shared_between_sets(validate, tmp_path):
    tree = write_tree(tmp_path / "tree", ["5-1-0001_6-1-0001", "5-1-0002_1-1-0001"])
    code, report, text = validate(tree / "train", tree / "test", "--allow-shared-speakers")
    assert code == 1, text
    own = {"leakage": ["5-1-0002_1-1-0001"], "shared-utterance": ["5-1-0002_1-1-0001"]}
    assert list_found(report, 1) == own and report["sets"][1]["valid_share"] == 0.5
    options = ["--allow-shared-speakers", "--allow", "shared-utterance"]
    assert validate(tree / "train", tree / "test", *options)[0] == 0
    for part in ("mix", "s1", "s2"):
        shutil.copy(
            tree / "train" / part / "1-1-0001_2-1-0001.wav",
            tree / "test" / part / "5-1-0001_6-1-0001.wav",
        )
    code, report, text = validate(tree / "train", tree / "test", "--allow-shared-speakers")
    assert "duplicate" in list_found(report, 1) and "duplicate" not in list_found(report)


def test_tables_that_share_speakers_and_files(validate, tmp_path):
    root = write_corpus(tmp_path / "corpus")
    train = write_table(tmp_path / "train.csv", make_rows([("0/0", "1/0"), ("2/0", "3/0")]))
    test = write_table(tmp_path / "test.csv", make_rows([("4/0", "5/0"), ("4/1", "0/0")]))
    code, report, text = validate(train, test, "--corpus", f"speech={root}")
    assert code == 1, text
    assert list_found(report) == {"leakage": ["mix0"], "shared-utterance": ["mix0"]}
    assert list_found(report, 1) == {"leakage": ["mix1"], "shared-utterance": ["mix1"]}


def test_speakers_are_not_guessed_from_names_of_another_form(validate, tmp_path):
    folder = write_folder(tmp_path / "test", ids=["00001-1089-1-0001_121-1-0001", "a-1_a-2"])
    code, report, text = validate(folder)
    assert code == 0, text
    assert report["sets"][0]["checks"]["same-speaker"] is None
    assert report["sets"][0]["statistics"]["speakers"] is None
    rows = [
        {"mixture_ID": "a-1_a-2", "speaker_1_ID": "ann", "speaker_2_ID": "ann"},
        {"mixture_ID": "00001-1089-1-0001_121-1-0001", "speaker_1_ID": "bo", "speaker_2_ID": "cy"},
    ]
    write_table(tmp_path / "test.csv", rows)  # beside the folder, of its name
    code, report, text = validate(folder)
    assert code == 1 and list_found(report) == {"same-speaker": ["a-1_a-2"]}, text


def test_librimix_tree_and_its_own_table(validate, tmp_path):
    branch = tmp_path / "Libri2Mix" / "wav8k" / "min"
    write_folder(branch / "test", mix="mix_clean")
    rows = [
        {"mixture_ID": name, "mixture_path": f"Libri2Mix/wav8k/min/test/mix_clean/{name}.wav"}
        | {f"source_{k}_path": f"Libri2Mix/wav8k/min/test/s{k}/{name}.wav" for k in (1, 2)}
        | {"length": str(len(read(branch / "test" / "s1" / f"{name}.wav")))}
        for name in IDS
    ]
    table = write_table(branch / "metadata" / "mixture_test_mix_clean.csv", rows)
    for inputs in (tmp_path, tmp_path / "Libri2Mix", table):
        code, report, text = validate(inputs)
        assert code == 0 and report["sets"][0]["mixtures"] == 4, text
        assert report["sets"][0]["statistics"]["speakers"] == 6
    rows[2]["length"] = "12345"
    write_table(table, rows)
    code, report, _ = validate(table)
    assert code == 1 and list_found(report) == {"length-mismatch": [IDS[2]]}


def test_fault_behind_the_part_that_is_mixed_is_found_where_loudness_needs_all(validate, tmp_path):
    root = tmp_path / "corpus"
    write(root / "long.flac", speak(1, 6.0, 16000), 16000)
    write(root / "short.flac", speak(2, 2.0, 16000), 16000)
    row = {"mixture_ID": "m", "source_1_path": "long.flac", "source_1_gain": "0.5"}
    row |= {"source_2_path": "short.flac", "source_2_gain": "0.5"}
    row["source_1_loudness_lufs"] = "-30"
    table = write_table(tmp_path / "test.csv", [row])
    bad = bytearray((root / "long.flac").read_bytes())
    bad[len(bad) * 2 // 3 : len(bad) * 2 // 3 + 3000] = b"\x55" * 3000
    (root / "long.flac").write_bytes(bad)
    code, report, text = validate(table, "--corpus", f"speech={root}")
    assert code == 1 and list_found(report) == {"unreadable": ["m"]}, text


def test_lists_of_wsj0_mix_are_read_as_published(validate, tmp_path):
    write_wsj0(tmp_path / "wsj0", 2)
    lists = [LISTS / f"mix_2_spk_{name}.txt" for name in ("tr", "cv", "tt")]
    options = ["--corpus", f"wsj0={tmp_path / 'wsj0'}", "--min-s", "0.5"]
    code, report, text = validate(*lists, *options)
    assert code == 1 and [own["name"] for own in report["sets"]] == ["tr", "cv", "tt"], text
    again = "22go0107_0.079969_051c010u_-0.079969"  # our excerpt of the list holds it twice
    assert list_found(report, 2) == {"repeated-id": [again], "duplicate": [again]}
    assert set(list_found(report)) == set(list_found(report, 1)) == {"leakage"}


def test_metadata_json_of_the_project_before(validate, tmp_path):
    marks = [
        {"mixture_id": f"m{k}", "is_valid": k != 3, "snr_error_db": 0.01 * (-1) ** k, "other": [k]}
        for k in range(10)
    ]
    marks[3]["snr_error_db"] = -0.09
    path = tmp_path / "metadata.json"
    for value in (marks, {"version": 1, "mixtures": marks}):
        path.write_text(json.dumps(value))
        code, report, text = validate(path)
        assert code == 1 and list_found(report) == {"marked-invalid": ["m3"]}, text
        own = report["sets"][0]
        assert own["valid_share"] == 0.9 and "| valid | 90.00 % |" in text
        known = own["statistics"]
        assert known["level_error_db"]["mean"] == pytest.approx((0.05 - 0.04 - 0.09) / 10)
        assert known["level_error_mean_absolute_db"] == pytest.approx((0.09 + 0.09) / 10)
        assert known["level_error_largest_db"] == -0.09
    marks[3] |= {"is_valid": True}
    marks[4] = {"mixture_id": "m4"}  # fields that are not there are not known, no more
    path.write_text(json.dumps(marks))
    code, report, _ = validate(path)
    assert code == 0 and report["sets"][0]["checks"]["marked-invalid"]["checked"] == 9
    code, report, _ = validate(path, "--level-tolerance", "0.05")
    assert code == 1 and list_found(report) == {"level-error": ["m3"]}


@pytest.mark.parametrize("text", ["[]", "{}", "[1, 2]", '{"a": [{"b": 1}]}', "not JSON", '"x"'])
def test_other_json_is_one_sentence(validate, tmp_path, text):
    (tmp_path / "metadata.json").write_text(text)
    code, _, printed = validate(tmp_path / "metadata.json")
    assert code == 2 and printed.startswith("error: ") and "metadata.json" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such"], "no such table, folder or MIX:split"),
        (["nomix:dev"], "no such table, folder or recipe"),
        (["{set}", "--rate", "80"], "--rate 80"),
        (["{set}", "--mode", "mid"], "--mode mid"),
        (["{set}", "--type", "mix_single"], "--type mix_single"),
        (["{set}", "--type", "mix_both"], "it has mix"),
        (["{set}", "--min-s", "nan"], "--min-s nan"),
        (["{set}", "--nj", "0"], "--nj 0"),
        (["{set}", "--allow", "leaks"], "--allow leaks"),
        (["{set}/s1"], "holds no mixtures"),
        (["{set}/test.csv"], "needs one corpus of speech"),
        (["{set}/test.csv", "--corpus", "speech=/no/such"], "no such folder"),
        (["{set}/other.csv"], "is no mixture table"),
        (["{set}/mix"], "holds no mixtures"),
    ],
)
def test_mistakes_are_one_sentence(validate, tmp_path, arguments, message):
    folder = write_folder(tmp_path / "set", ids=IDS[:1])
    write_table(folder / "test.csv", make_rows(PAIRS))
    write_table(folder / "other.csv", [{"a": "b"}])
    code, _, printed = validate(*(text.replace("{set}", str(folder)) for text in arguments))
    assert code == 2 and message in printed and "Traceback" not in printed, printed


def test_recipe_split_names_the_command_until_stage_2_has_made_it(validate, tmp_path, monkeypatch):
    speech, data = tmp_path / "speech", tmp_path / "data"
    for speaker in range(6):
        for item in range(12):
            voice = speak(10 * speaker + item, 1.6 + 0.05 * item)
            write(speech / f"spk{speaker}_{'FM'[speaker % 2]}" / f"say{item}.wav", voice)
    options = ["--corpus", f"speech={speech}", "--data", data, "--set", "mixtures.n_dev=5"]
    options += ["--set", "mixtures.n_test=5"]
    code, _, text = validate("mini:dev", *options)
    assert code == 2 and "bash run.sh --recipe mini/ConvTasNet --stop-stage 2 --corpus" in text
    for stage in ("preflight", "corpus", "metadata"):
        command = [stage, "--exp", tmp_path / "exp", "--nj", "1", *options]
        monkeypatch.setattr("sys.argv", ["separation", *map(str, command)])
        assert main() == 0
    code, report, text = validate("mini:dev", "mini/ConvTasNet:test_unseen", *options)
    assert [own["name"] for own in report["sets"]] == ["dev", "test_unseen"], text
    assert report["sets"][0]["statistics"]["level_error_db"] is not None or "not stated" in text
    code, _, text = validate("mini:tset", *options)
    assert code == 2 and "has the splits" in text


def test_through_the_real_entry_point(call, tmp_path):
    folder = write_folder(tmp_path / "test")
    command = [sys.executable, "-m", "separation", "validate", folder, "--nj", "2"]
    done = call(*command, "--out", tmp_path / "report")
    assert done.returncode == 0 and "nothing is wrong" in done.stdout, done.stdout
    assert (tmp_path / "report" / "validation_1.png").read_bytes().startswith(b"\x89PNG")
    _truncate(folder, IDS[0])
    done = call(*command)
    assert done.returncode == 1 and f"- {IDS[0]}: s1/{IDS[0]}.wav: is truncated" in done.stdout
    done = call(*command, "--rate")
    assert done.returncode == 2 and done.stdout.startswith("error: ")
