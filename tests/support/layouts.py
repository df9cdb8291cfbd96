"""A folder ``mix/ s1/ s2/`` laid out anew, in each way that people do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

PARTS = ("mix", "s1", "s2")
Place = Callable[[str, str], str]  # (mixture, part) -> file


def _copy(source: Path, target: Path, place: Place) -> Path:
    for part in PARTS:
        for path in sorted((source / part).glob("*.wav")):
            new = target / place(path.stem, part)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, new)
    return target


def _list(source: Path) -> dict[str, dict[str, str]]:
    """Absolute path by mixture and part."""
    names = sorted(path.stem for path in (source / "mix").glob("*.wav"))
    return {
        name: {part: str((source / part / f"{name}.wav").resolve()) for part in PARTS}
        for name in names
    }


def _write_scp(source: Path, target: Path, names: dict[str, str], key: str) -> Path:
    target.mkdir(parents=True)
    for part, name in names.items():
        lines = [f"{key.format(own)} {paths[part]}" for own, paths in _list(source).items()]
        (target / name).write_text("\n".join(lines) + "\n")
    return target


def _write_json_lists(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for part, name in {"mix": "mix_clean", "s1": "s1", "s2": "s2"}.items():
        entries = [[paths[part], 4000] for paths in _list(source).values()]
        (target / f"{name}.json").write_text(json.dumps(entries))
    return target


def _write_table(source: Path, target: Path, text: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def _write_csv(source: Path, target: Path, columns: tuple[str, ...], mark: str = ",") -> Path:
    lines = [mark.join(columns)]
    for name, paths in _list(source).items():
        lines.append(mark.join([name, *(paths[part] for part in PARTS)]))
    return _write_table(source, target, "\n".join(lines) + "\n")


def _write_records(source: Path, target: Path) -> Path:
    records = [
        {"id": name, "mixture": paths["mix"], "sources": [paths["s1"], paths["s2"]]}
        for name, paths in _list(source).items()
    ]
    return _write_table(source, target, json.dumps(records))


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "folders mix s1 s2": lambda source, target: _copy(
        source, target, lambda name, part: f"{part}/{name}.wav"
    ),
    "folders spk1 spk2": lambda source, target: _copy(
        source, target, lambda name, part: f"{part.replace('s', 'spk')}/{name}.wav"
    ),
    "folders, suffixes in them": lambda source, target: _copy(
        source, target, lambda name, part: f"{part}/{name}_{part}.wav"
    ),
    "a folder a mixture": lambda source, target: _copy(
        source, target, lambda name, part: f"{name}/{part}.wav"
    ),
    "a folder a mixture, from 0": lambda source, target: _copy(
        source,
        target,
        lambda name, part: f"{name}/{ {'mix': 'mixture', 's1': 'spk0', 's2': 'spk1'}[part] }.wav",
    ),
    "suffixes _1 _2": lambda source, target: _copy(
        source,
        target,
        lambda name, part: f"{name}{ {'mix': '', 's1': '_1', 's2': '_2'}[part] }.wav",
    ),
    "suffixes _mix _s1 _s2": lambda source, target: _copy(
        source, target, lambda name, part: f"{name}_{part}.wav"
    ),
    "suffixes _est1 _est2": lambda source, target: _copy(
        source, target, lambda name, part: f"{name}_{part.replace('s', 'est')}.wav"
    ),
    "scp of ESPnet": lambda source, target: _write_scp(
        source, target, {"mix": "wav.scp", "s1": "spk1.scp", "s2": "spk2.scp"}, "{}"
    ),
    "scp of JusperLee": lambda source, target: _write_scp(
        source, target, {"mix": "tt_mix.scp", "s1": "tt_s1.scp", "s2": "tt_s2.scp"}, "{}.wav"
    ),
    "JSON lists of Asteroid": _write_json_lists,
    "CSV of SpeechBrain": lambda source, target: _write_csv(
        source, target / "test.csv", ("ID", "mix_wav", "s1_wav", "s2_wav")
    ),
    "CSV with tabs": lambda source, target: _write_csv(
        source, target / "test.csv", ("mixture_ID", "mixture_path", "source_1", "source_2"), "\t"
    ),
    "JSON records": lambda source, target: _write_records(source, target / "test.json"),
}
