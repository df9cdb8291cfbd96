"""Lhotse's manifests: ``*recordings*.jsonl[.gz]`` and ``*supervisions*.jsonl[.gz]``.

A supervision is an utterance: a piece of a recording, with speaker, and text and gender where they
are there. What else the two names hold is the subset: ``libri_supervisions_dev-clean.jsonl.gz``.
"""

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from separation.corpora.extract import Piece
from separation.corpora.plugin import Recording
from separation.corpora.recording_checks import parse_sex
from separation.errors import MissingInputError, UserError

T = TypeVar("T")
N_ABOVE = 2  # folders above the manifests from which relative paths are tried, too


def find_manifests(root: Path) -> list[Path]:
    """The manifests of recordings in a folder, sorted."""
    return sorted(root.glob("*recordings*.jsonl*")) if root.is_dir() else []


def list_pieces(root: Path) -> list[Piece]:
    """Every supervision of all manifests.

    Raises:
        MissingInputError: recordings without supervisions.
        UserError: a line that is no such record, or an utterance without a speaker.
    """
    pieces = []
    for path in find_manifests(root):
        beside = path.with_name(path.name.replace("recordings", "supervisions"))
        if not beside.is_file():
            raise MissingInputError(f"{beside}: not there; {path.name} alone names no speakers.")
        sources = {
            str(record["id"]): _parse(_find_source, record, where, root)
            for where, record in _read_lines(path)
        }
        subset = re.sub(r"\.jsonl(\.gz)?$", "", path.name).split("recordings")
        name = "-".join(part.strip("._-") for part in subset[1:] if part.strip("._-"))
        for where, record in _read_lines(beside):
            pieces.append(_parse(_make_piece, record, where, sources, name))
    return pieces


def _parse(parse: Callable[..., T], record: dict[str, Any], where: str, *rest: Any) -> T:
    """What a function makes of a record, whose values may be of any type."""
    try:
        return parse(record, where, *rest)
    except UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise UserError(f"{where} is no record of Lhotse's ({text}); write it anew.") from error


def _read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict) or "id" not in record:
                        raise ValueError("no record with an id")
                    yield f"{path}: line {number}", record
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is no manifest of Lhotse's ({error}); write it anew.") from error


def _find_source(record: dict[str, Any], where: str, root: Path) -> str:
    sources = record.get("sources") or [{}]
    kind, text = sources[0].get("type"), str(sources[0].get("source", ""))
    if kind == "command":
        return f"{text} |"
    if kind != "file" or len(sources) > 1:
        raise UserError(f"{where} is no single file (type {kind}); save the audio as files first.")
    bases = [Path(), root, *list(root.parents)[:N_ABOVE]]
    places = [os.path.abspath(base / text) for base in bases]  # noqa: PTH100
    return next((place for place in places if os.path.isfile(place)), places[0])  # noqa: PTH113


def _make_piece(record: dict[str, Any], where: str, sources: dict[str, str], subset: str) -> Piece:
    speaker, source = record.get("speaker"), sources.get(str(record.get("recording_id")))
    if not speaker or source is None:
        lacks = "a speaker" if source else "a recording that is listed"
        raise UserError(f"{where} names no utterance of {lacks}; complete it or take it out.")
    start_s, channel = float(record.get("start", 0.0)), record.get("channel")
    channel = channel[0] if isinstance(channel, list) else channel
    recording = Recording(
        speaker=str(speaker),
        sex=parse_sex(str(record.get("gender") or ""), where),
        path="",
        prompt="",
        transcript=" ".join(str(record.get("text") or "").split()),
        subset=subset,
        utterance=str(record["id"]),
    )
    return Piece(
        recording=recording,
        source=source,
        where=where,
        start_s=start_s,
        end_s=start_s + float(record["duration"]) if "duration" in record else None,
        channel=channel,
    )
