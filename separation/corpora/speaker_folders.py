"""Folders of recordings: which level of folders names the speaker.

By default the first level does, ``DIR/<speaker>/**/<file>``, unless the tree has the layout of a
corpus that is known, or its first folders are named as splits. Where folders hold folders of audio
and nothing tells which of them are people, nobody guesses: stage 0 asks.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from separation.corpora.audio_tree import AudioTree, list_audio
from separation.corpora.plugin import Reading, Recording
from separation.corpora.recording_checks import SUBSET_NAMES, name_prompt, parse_sex
from separation.errors import UserError
from separation.text import list_first


class Layout(NamedTuple):
    """A corpus whose paths all fit a pattern with the group speaker, maybe sex and subset."""

    name: str
    pattern: str


LAYOUTS = (
    Layout("TIMIT", r"(?:(?P<subset>train|test)/)?dr[1-8]/(?P<speaker>(?P<sex>[fm])\w{3}\d)/[^/]+"),
    Layout(
        "AISHELL-1", r"(?:(?P<subset>train|dev|test)/)?(?P<speaker>S\d{4})/BAC009(?P=speaker)W\d+\."
    ),
    Layout(
        "LibriSpeech",
        r"(?:(?P<subset>(?:train|dev|test)-[\w-]+)/)?(?P<speaker>\d+)/(?P<chapter>\d+)/"
        r"(?P=speaker)[-_](?P=chapter)[-_]\d",
    ),
    Layout("VCTK", r"(?P<speaker>[ps]\d+)/(?P=speaker)_\d+(?:_mic\d)?\."),
    Layout("VoxCeleb", r"(?P<speaker>id\d{5})/[\w-]{11}/\d+\."),
    Layout("WSJ0", r"(?P<subset>s[id]_\w+)/(?P<speaker>\w{3})/(?P=speaker)\w+\."),
)


@dataclass(frozen=True, kw_only=True)
class SpeakerFolders:
    """A tree of recordings as it is read.

    Attributes:
        recordings: sorted by path.
        remarks: what a user should know: the layout, files that are left out.
        question: why nobody can tell who speaks, with the fix; mostly empty.
    """

    recordings: list[Recording]
    remarks: list[str]
    question: str = ""


def read_folders(root: Path, reading: Reading) -> SpeakerFolders:
    """The recordings below a folder, and how it was read.

    Raises:
        UserError: ``speaker_level`` or ``speaker_pattern`` do not fit.
    """
    tree = list_audio(root)
    inside = [path for path in tree.paths if "/" in path]
    if reading.speaker_pattern:
        return _finish(tree, _match(root, tree.paths, reading.speaker_pattern), [])
    if reading.speaker_level:
        return _finish(tree, _read_level(root, tree.paths, reading.speaker_level), [])
    if mixtures := _find_mixtures(inside):
        question = (
            f"--corpus speech={root}: holds mixtures ({mixtures}/s1, s2), not recordings of one "
            "speaker each; give them with --corpus mixtures=DIR, or name a folder of speech."
        )
        return _finish(tree, _make_all(inside, [(1, "")] * len(inside)), [], question)
    for layout in LAYOUTS:
        if found := _recognise(layout, inside):
            return _finish(tree, *found)
    return _guess_level(root, tree, inside)


def _finish(
    tree: AudioTree, recordings: list[Recording], remarks: list[str], question: str = ""
) -> SpeakerFolders:
    remarks = remarks + tree.describe_left_out()
    outside = sorted(set(tree.paths) - {row.path for row in recordings})
    if outside and recordings:
        remarks.append(
            f"{len(outside)} files lie in no speaker's folder and are left out "
            f"({list_first(outside)})"
        )
    return SpeakerFolders(recordings=recordings, remarks=remarks, question=question)


def _make(path: str, speaker: str, sex: str = "", subset: str = "") -> Recording:
    known = speaker[-1] if speaker[-2:] in ("_F", "_M") else ""
    return Recording(
        speaker=speaker,
        sex=sex or known,
        path=path,
        prompt=name_prompt(path),
        subset=subset,
    )


def _make_all(paths: Sequence[str], places: Sequence[tuple[int, str]]) -> list[Recording]:
    """Of each path the folder of a level, and a subset."""
    return [
        _make(path, path.split("/")[level - 1], subset=subset)
        for path, (level, subset) in zip(paths, places, strict=True)
    ]


def _match(root: Path, paths: list[str], text: str) -> list[Recording]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(
            f"corpus.speaker_pattern={text}: is no regular expression ({error})."
        ) from error
    if not pattern.groups:
        raise UserError(
            f"corpus.speaker_pattern={text}: has no group for the speaker, such as ([^/]+)/."
        )
    matches = {path: pattern.search(path) for path in paths}
    unfit = [path for path, match in matches.items() if match is None]
    if unfit:
        raise UserError(
            f"corpus.speaker_pattern={text}: {len(unfit)} of {len(paths)} paths below {root} do "
            f"not fit ({list_first(unfit)}); correct it."
        )
    return [_make_from(path, match) for path, match in matches.items() if match is not None]


def _make_from(path: str, match: re.Match) -> Recording:
    named = match.groupdict()
    speaker = (named.get("speaker") or match.group(1)).replace("/", "-")
    sex = parse_sex(named.get("sex") or "", f"corpus.speaker_pattern: {path}")
    return _make(path, speaker, sex, named.get("subset") or "")


def _read_level(root: Path, paths: list[str], level: int) -> list[Recording]:
    inside = [path for path in paths if path.count("/") >= level]
    if not inside:
        raise UserError(
            f"corpus.speaker_level={level}: no audio file below {root} lies in {level} folders "
            f"({list_first(paths) or 'it holds none'}); lower it."
        )
    return _make_all(inside, [(level, "")] * len(inside))


def _find_mixtures(paths: Sequence[str]) -> str:
    """The first folder that has s1/ and s2/ beside mixtures; mostly empty."""
    folders = {path.rpartition("/")[0] for path in paths}
    for folder in sorted(folders):
        parent, _, name = folder.rpartition("/")
        beside = f"{parent}/" if parent else ""
        mixed = [f"{beside}{kind}" for kind in ("mix", "mix_clean", "mix_both", "mixture")]
        if name == "s1" and f"{beside}s2" in folders and folders & set(mixed):
            return parent or "."
    return ""


def _recognise(layout: Layout, paths: list[str]) -> tuple[list[Recording], list[str]] | None:
    """Recordings and a remark where all paths are of a layout."""
    pattern = re.compile(f"(?:^|/){layout.pattern}", re.IGNORECASE)
    matches = [(path, match) for path in paths if (match := pattern.search(path))]
    if not paths or len(matches) < len(paths):
        return None
    first, match = matches[0]
    if all(match["speaker"] == path.split("/")[0] for path, match in matches):
        return _make_all(paths, [(1, "")] * len(paths)), []  # as any folder of speakers
    remark = (
        f"{layout.name}'s layout: {first} is of speaker {match['speaker']}; "
        "--set corpus.speaker_level=1 takes the first folders for speakers"
    )
    return [_make_from(path, match) for path, match in matches], [remark]


def _guess_level(root: Path, tree: AudioTree, paths: list[str]) -> SpeakerFolders:
    level, subset_level = 1, 0
    folders = [path.split("/")[:-1] for path in paths]
    deepest = min(map(len, folders), default=0)
    while level < deepest:
        names = {parts[level - 1] for parts in folders}
        named_splits = all(name.lower().split("-")[0] in SUBSET_NAMES for name in names)
        if named_splits and not subset_level:
            subset_level = level
        elif len(names) > 1:
            break
        level += 1
    places = [(level, parts[subset_level - 1] if subset_level else "") for parts in folders]
    recordings = _make_all(paths, places)
    remarks = []
    if level > 1:
        remarks.append(
            f"speakers are the folders of level {level}, as {recordings[0].speaker} in "
            f"{paths[0]}; --set corpus.speaker_level=1 takes the first folders for speakers"
        )
    question = _ask(root, paths, level) if _is_open(paths, level) else ""
    return _finish(tree, recordings, remarks, question)


def _is_open(paths: Sequence[str], level: int) -> bool:
    """Whether folders below those of a level may as well be people.

    Not where files are named after the folders of this level, where these state a sex, hold audio
    themselves, or all hold folders of the same names (sessions, codings).
    """
    below: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        below[parts[level - 1]].add(parts[level] if len(parts) > level + 1 else "")
    named_after = all(path.split("/")[-1].startswith(path.split("/")[level - 1]) for path in paths)
    groups = {
        name: names
        for name, names in below.items()
        if len(names) > 1 and "" not in names and name[-2:] not in ("_F", "_M")
    }
    counts: dict[str, int] = defaultdict(int)
    for names in below.values():
        for name in names:
            counts[name] += 1
    repeated = len(below) > 1 and all(
        counts[name] > 1 for names in groups.values() for name in names
    )
    return bool(groups) and not named_after and not repeated


def _ask(root: Path, paths: Sequence[str], level: int) -> str:
    upper = sorted({path.split("/")[level - 1] for path in paths})
    deep = [path for path in paths if path.count("/") > level]
    lower = sorted({path.split("/")[level] for path in deep})
    return (
        f"--corpus speech={root}: its folders hold folders of audio ({list_first(deep)}): are the "
        f"speakers {list_first(upper, 2)} (--set corpus.speaker_level={level}) or "
        f"{list_first(lower, 2)} (--set corpus.speaker_level={level + 1})? For other names set "
        "corpus.speaker_pattern to a regular expression whose first group is the speaker."
    )
