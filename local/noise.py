"""Any folder of noise: files of any format that soundfile reads, in any sub-folders.

Where the sub-folders at its top are named as splits (``tr cv tt``, or ``train``, ``dev`` or
``valid``, ``test``), they are the splits. Otherwise one file in ten is for test, one in ten for
dev, chosen by a keyed hash of the relative path, so that no order of files matters; the files of
one long recording then go to different splits, which only named sub-folders prevent. A single
folder named as a split means nothing (``train/`` may hold noise of railways).
"""

import zlib
from pathlib import Path

from separation.corpora.audio_tree import list_audio
from separation.corpora.plugin import CorpusCheck, CorpusInfo, Recording
from separation.errors import MissingInputError, UserError
from separation.files import hash_text
from separation.text import list_first

INFO = CorpusInfo(
    name="noise",
    kind="noise",
    title="noise of one's own",
    readme="egs/folder/README.md",
)
SUBSETS = {  # by the name of a sub-folder
    "tr": "train",
    "cv": "dev",
    "tt": "test",
    "train": "train",
    "dev": "dev",
    "valid": "dev",
    "test": "test",
}
NO_HEADER = {".g722", ".gsm", ".raw"}  # cannot be read from any place
N_GROUPS = 64  # so that packing goes in parallel and can be interrupted
LATE_SHARE = 0.1  # of the files, for dev and for test
MIN_FILES = 3


def list_recordings(root: Path) -> list[Recording]:
    """List every noise, sorted by path; its ``speaker`` is one of a few groups of files.

    Raises:
        MissingInputError: no such folder, or no audio in it.
        UserError: too few files for three splits, a split without files, files outside.
    """
    if not root.is_dir():
        raise MissingInputError(f"--corpus noise={root}: no such folder; check the path.")
    paths = sorted(
        path for path in list_audio(root).paths if Path(path).suffix.lower() not in NO_HEADER
    )
    if not paths:
        raise MissingInputError(
            f"--corpus noise={root}: holds no audio files (WAV, FLAC, Ogg, ...); check the path."
        )
    if len(paths) < MIN_FILES:
        raise UserError(
            f"--corpus noise={root}: {len(paths)} file(s) cannot be split into train, dev and "
            f"test; give at least {MIN_FILES}, cutting long ones into pieces."
        )
    subsets = _read_subsets(paths, root) or draw_subsets(paths)
    return [_make(path, subsets[path]) for path in paths]


def check_corpus(root: Path, recordings: list[Recording]) -> CorpusCheck:
    """What is left out of the folder."""
    return CorpusCheck(remarks=[f"noise: {text}" for text in list_audio(root).describe_left_out()])


def _make(path: str, subset: str) -> Recording:
    group = f"noise{zlib.crc32(path.encode()) % N_GROUPS:02d}"
    return Recording(
        speaker=group, path=path, prompt=Path(path).stem, channel="first", subset=subset
    )


def _read_subsets(paths: list[str], root: Path) -> dict[str, str]:
    """Subset of every path by its top folder; none where these do not name splits."""
    tops = {path: SUBSETS.get(path.split("/")[0].lower(), "") for path in paths if "/" in path}
    named = set(tops.values()) - {""}
    if len(named) < 2:
        return {}
    if missing := sorted({"train", "dev", "test"} - named):
        raise UserError(
            f"--corpus noise={root}: has folders for {' and '.join(sorted(named))}, but no "
            f"{missing[0]} with files in it; add it, or rename them so that all is split by hash."
        )
    if outside := [path for path in paths if not tops.get(path)]:
        raise UserError(
            f"--corpus noise={root}: {len(outside)} files lie outside its train, dev and test "
            f"({list_first(outside)}); move them into one of these."
        )
    return tops


def draw_subsets(paths: list[str]) -> dict[str, str]:
    """Subset of each path: a tenth each for test and dev, at least one, by a keyed hash.

    >>> sorted(draw_subsets(["a.wav", "b.wav", "c.wav"]).values())
    ['dev', 'test', 'train']
    """
    ranked = sorted(paths, key=lambda path: hash_text(f"noise/{path}"))
    n_late = max(1, round(LATE_SHARE * len(ranked)))
    subsets = ["test"] * n_late + ["dev"] * n_late + ["train"] * (len(ranked) - 2 * n_late)
    return dict(zip(ranked, subsets, strict=True))
