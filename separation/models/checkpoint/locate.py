"""What a user calls a model -> a file on this disk: paths, Hub names, Zenodo names, URLs."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from separation.download.fetch import download_file
from separation.errors import MissingInputError, UserError
from separation.files import hash_file
from separation.models import shipped
from separation.models.checkpoint.file_kinds import describe_wrong_download
from separation.models.checkpoint.hub import ATTEMPTS, COMMIT, fetch_from_hub
from separation.models.published import (
    HUB_FILE,
    ZENODO_FILE,
    PublishedModel,
    advise_name,
    find_by_name,
    find_by_url,
    find_shipped,
    is_offline,
    locate_url,
)
from separation.safe_paths import find_name_fault

MODEL_FILES = ("best_model.pth", HUB_FILE, ZENODO_FILE)  # of a folder, the first that is there
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".th", ".safetensors", ".onnx")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_URL = re.compile(
    r"https://(?:huggingface\.co|hf\.co)/(?P<name>[\w.-]+/[\w.-]+)/?"
    r"(?:(?:tree|blob|resolve)/(?P<revision>[^/?]+)(?:/pytorch_model\.bin)?/?)?(?:\?.*)?"
)
SHA256 = re.compile(r"[0-9a-f]{64}")
WAIT_S = 120.0  # for another process, such as a rank of the same training, that fetches the file


@dataclass(frozen=True)
class Source:
    """A model's file.

    Attributes:
        path: the file.
        published: the entry that the user named; without scores where they are another file's.
        notes: sentences for a report.
    """

    path: Path
    published: PublishedModel | None = None
    notes: tuple[str, ...] = ()


def find_checkpoint(text: str) -> Source:
    """Find or fetch the file that ``text`` names; a path that exists wins, but over ``shipped``.

    Args:
        text: ``shipped``; a file; an experiment, a snapshot or a published folder;
            ``user/name[@revision]``; a name of the published list; a URL.

    Raises:
        MissingInputError: neither a path nor a name.
        UserError: the server refuses, the network is away, the bytes are wrong.
    """
    if text == shipped.NAME:
        return _find_shipped()
    local = _find_path(text)
    if local is not None:
        return Source(_find_in_folder(local, text) if local.is_dir() else local)
    if found := HUB_URL.fullmatch(text):
        revision = unquote(found["revision"] or "")
        return find_checkpoint(found["name"] + (f"@{revision}" if revision else ""))
    if re.match(r"https?://", text):
        return _fetch_url(text, text, find_by_url(text))
    name, at, revision = text.partition("@")
    published = find_by_name(name)
    is_on_hub = published is not None and name != published.zenodo_name
    if not published and _looks_like_path(name, text):  # before the import takes seconds
        raise MissingInputError(f"{text}: no such checkpoint{advise_name(name)}.")
    if not is_on_hub and (url := published.url if published else _find_zenodo_name(name)):
        if at:
            raise UserError(f"{text}: a file on Zenodo has no revisions; write {name}.")
        return _fetch_url(url, text, published)
    if not HUB_NAME.fullmatch(name):
        raise MissingInputError(f"{text}: no such checkpoint{advise_name(name)}.")
    if any(find_name_fault(part) for part in (*name.split("/"), revision or "main")):
        raise UserError(f"{text}: is no name on the Hub; write user/name, or user/name@revision.")
    if at and not revision:
        raise UserError(f"{text}: names no revision after the @; write {name}, or the revision.")
    return _fetch_from_hub(name, revision, text, published)


def _find_shipped() -> Source:
    """The package's own model; its scores are shown where they are this very file's."""
    entry, path = find_shipped(), shipped.MODEL
    if not path.is_file():
        raise MissingInputError(
            f"{shipped.NAME}: {path} is not there; get it from the repository, or give another "
            "model."
        )
    if hash_file(path) == entry.sha256:
        return Source(path, entry)
    own = dataclasses.replace(entry, size=0, sha256="", scores={})
    note = f"{shipped.NAME}: its file is not the one that was scored, so no scores are shown"
    return Source(path, own, (note,))


def _find_path(text: str) -> Path | None:
    """The path of this name that exists; a name too long, or in no user's home, is none."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _looks_like_path(name: str, text: str) -> bool:
    """Whether what might be ``user/name[@revision]`` is rather a file that is missing."""
    if name.startswith(("/", ".", "~")) or text.endswith(SUFFIXES) or name.count("/") != 1:
        return True
    return name.split("/")[0] in ("exp", "data")


def _find_zenodo_name(name: str) -> str:
    """The URL of a name in Asteroid's own table of Zenodo models; empty where it has none."""
    from separation.models.asteroid import import_asteroid

    return import_asteroid("utils.hub_utils").MODELS_URLS_HASHTABLE.get(name, "")


def _find_in_folder(folder: Path, text: str) -> Path:
    """The model of an experiment, of a published folder, of a Hub snapshot or repository cache."""
    for name in MODEL_FILES:
        if (folder / name).is_file():
            return folder / name
    reference = folder / "refs" / "main"
    commit = reference.read_text().strip() if reference.is_file() else ""
    if COMMIT.fullmatch(commit):
        return _find_in_folder(folder / "snapshots" / commit, text)
    snapshots = sorted((folder / "snapshots").glob(f"*/{HUB_FILE}"))
    if len(snapshots) == 1:
        return snapshots[0]
    last = folder / "checkpoints" / "last.ckpt"
    advice = f"give {last}, which is under way" if last.is_file() else "train one, or check it"
    raise MissingInputError(
        f"{text}: no such checkpoint in this folder ({', '.join(MODEL_FILES)}); {advice}."
    )


def _fetch_url(url: str, text: str, published: PublishedModel | None) -> Source:
    """A file of Zenodo or elsewhere, in Asteroid's own cache under Asteroid's own name."""
    path = locate_url(url)
    source = Source(path, published, (f"{text}: not checked against a published sha256",))
    if is_offline():
        if path.is_file():
            return source
        raise UserError(f"{text}: is not in {path.parent} and HF_HUB_OFFLINE is set; unset it.")
    # no size and sha256: the list's are those of the Hub's file
    download_file(
        *(url, path),
        describe_fault=describe_wrong_download,
        attempts=ATTEMPTS,
        wait_s=WAIT_S,
        instead="give the path of a copy in place of the name",
        elsewhere="set ASTEROID_CACHE to a folder elsewhere",
    )
    return source


def _fetch_from_hub(
    name: str, revision: str, text: str, published: PublishedModel | None
) -> Source:
    wanted = revision or (published.revision if published else "") or None
    path = fetch_from_hub(name, wanted, text)
    got, size = hash_file(path), path.stat().st_size
    if published and got != published.sha256 and not _is_listed(published, revision, path):
        return _check_sha256(_drop_scores(Source(path, published), revision, text), got, text)
    if published and published.size and size != published.size:
        raise _refuse_bytes(text, path, f"{published.size} bytes", f"{size}")
    return _check_sha256(Source(path, published), got, text)


def _is_listed(published: PublishedModel, revision: str, path: Path) -> bool:
    """Whether a file in the Hub's cache is of the revision that the list speaks of."""
    if published.revision:
        return path.parent.name == published.revision
    return revision in ("", "main")


def _drop_scores(source: Source, revision: str, text: str) -> Source:
    """Another revision has the published one's rate and speakers; its scores nobody published."""
    assert source.published is not None
    name = f"{source.published.name}@{revision}"
    note = f"{text}: the published scores are those of another revision, so they are not shown"
    own = dataclasses.replace(
        source.published, name=name, revision=revision, size=0, sha256="", scores={}
    )
    return Source(source.path, own, (note,))


def _check_sha256(source: Source, got: str, text: str) -> Source:
    """Against the list's, else the Hub's, which names a large file by it, and so does its cache."""
    blob = source.path.resolve().name
    expected = source.published.sha256 if source.published else ""
    expected = expected or (blob if SHA256.fullmatch(blob) else "")
    if not expected:
        note = f"{text}: not checked against a published sha256"
        return dataclasses.replace(source, notes=(*source.notes, note))
    if got != expected:
        raise _refuse_bytes(text, source.path, f"sha256 {expected}", got)
    return source


def _refuse_bytes(text: str, path: Path, expected: str, got: str) -> UserError:
    return UserError(
        f"{text}: {expected} expected, got {got}; delete {path.resolve()} and run the same command "
        "to fetch it anew."
    )
