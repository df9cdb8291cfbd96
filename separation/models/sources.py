"""What a user calls a model -> a file on this disk: paths, Hub names, Zenodo names, URLs."""

import errno
import logging
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from separation.download import download
from separation.errors import MissingInputError, UserError
from separation.models.published_models import (
    HUB_FILE,
    PublishedModel,
    find_by_name,
    find_by_url,
    hash_file,
    is_offline,
    list_hub_caches,
    locate_url,
    suggest_name,
)

MODEL_FILES = ("best_model.pth", HUB_FILE, "model.pth")  # of a folder, the first that is there
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".th", ".safetensors")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_URL = re.compile(
    r"https://(?:huggingface\.co|hf\.co)/(?P<name>[\w.-]+/[\w.-]+)/?"
    r"(?:(?:tree|blob|resolve)/(?P<revision>[^/?]+)(?:/pytorch_model\.bin)?/?)?(?:\?.*)?"
)
SHA256, COMMIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
ATTEMPTS = 3  # to fetch a file
CONNECT_S = 5.0  # to wait for the Hub's server
PAUSE_S = 1.0  # between two of them
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A model's file.

    Attributes:
        path: the file.
        published: the entry that the user named.
        notes: sentences for a report.
    """

    path: Path
    published: PublishedModel | None = None
    notes: tuple[str, ...] = ()


def find_checkpoint(text: str) -> Source:
    """Find or fetch the file that ``text`` names; a path that exists wins.

    Args:
        text: a file; an experiment, a snapshot or a published folder; ``user/name[@revision]``;
            a name of the published list; a URL.

    Raises:
        MissingInputError: neither a path nor a name.
        UserError: the server refuses, the network is away, the bytes are wrong.
    """
    local = _find_path(text)
    if local is not None:
        return Source(_find_in_folder(local, text) if local.is_dir() else local)
    if found := HUB_URL.fullmatch(text):
        revision = found["revision"]
        return find_checkpoint(found["name"] + (f"@{revision}" if revision else ""))
    if re.match(r"https?://", text):
        return _fetch_url(text, text, find_by_url(text))
    name, _, revision = text.partition("@")
    published = find_by_name(name)
    if published and name == published.zenodo_name:
        return _fetch_url(published.url, text, published)
    if not published and _looks_like_path(text):  # before the import takes seconds
        raise MissingInputError(f"{text}: no such checkpoint{_advise(name)}.")
    if not published and (url := _find_zenodo_name(name)):
        return _fetch_url(url, text, None)
    if not HUB_NAME.fullmatch(name):
        raise MissingInputError(f"{text}: no such checkpoint{_advise(name)}.")
    return _fetch_from_hub(name, revision, text, published)


def _find_path(text: str) -> Path | None:
    """The path of this name that exists; a name too long, or in no user's home, is none."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _advise(name: str) -> str:
    near = suggest_name(name)
    if near:
        return f"; did you mean {near}? `python -m separation models` lists the published ones"
    return "; check the path, or see `python -m separation models` for names of published ones"


def _looks_like_path(text: str) -> bool:
    """Whether a text that might be ``user/name`` is rather a file that is missing."""
    is_file = text.startswith(("/", ".", "~")) or text.endswith(SUFFIXES)
    return is_file or Path(text).parts[0] in ("exp", "data") or text.count("/") != 1


def _find_zenodo_name(name: str) -> str:
    """The URL of a name in Asteroid's own table of Zenodo models; empty where it has none."""
    from separation.models.asteroid_models import import_asteroid

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
    if is_offline() and not path.is_file():
        raise UserError(f"{text}: is not in {path.parent} and HF_HUB_OFFLINE is set; unset it.")
    # no size and sha256: the list's are those of the Hub's file
    download(
        *(url, path),
        attempts=ATTEMPTS,
        instead="give the path of a copy in place of the name",
        elsewhere="set ASTEROID_CACHE to a folder on another disk",
    )
    return Source(path, published, (f"{text}: not checked against a published sha256",))


def _fetch_from_hub(
    name: str, revision: str, text: str, published: PublishedModel | None
) -> Source:
    pinned = published is not None and revision in ("", published.revision)
    wanted = revision or (published.revision if published else "") or None
    path = _call_hub(name, wanted, text)
    expected = published.sha256 if published and pinned else ""
    blob = path.resolve().name
    # the Hub names a large file by its sha256, and so does its cache
    expected = expected or (blob if SHA256.fullmatch(blob) else "")
    if not expected:
        return Source(path, published, (f"{text}: not checked against a published sha256",))
    if published and pinned and published.size and path.stat().st_size != published.size:
        raise _refuse_bytes(text, path, f"{published.size} bytes", f"{path.stat().st_size}")
    if (got := hash_file(path)) != expected:
        raise _refuse_bytes(text, path, f"sha256 {expected}", got)
    return Source(path, published)


def _refuse_bytes(text: str, path: Path, expected: str, got: str) -> UserError:
    return UserError(
        f"{text}: {expected} expected, got {got}; delete {path.resolve()} and run the same command "
        "to fetch it anew."
    )


def _call_hub(name: str, revision: str | None, text: str) -> Path:
    """The Hub's own client and cache; a file that Asteroid has in its cache is used from there."""
    import requests
    from huggingface_hub import errors

    cache = list_hub_caches(name)[0]
    try:
        return _download_from_hub(name, revision, cache)
    except (errors.HFValidationError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as e:
        raise UserError(f"{text}: {_explain_hub(e, name, revision)}.") from e
    except requests.RequestException as e:
        again = "check network, proxy and HF_ENDPOINT, and run the same command to go on"
        raise UserError(f"{text}: fetching it from the Hub failed ({_shorten(e)}); {again}.") from e
    except OSError as e:
        raise UserError(f"{text}: {_explain_disk(e, cache)}.") from e


def _download_from_hub(name: str, revision: str | None, cache: str) -> Path:
    """Its client tries again by itself, but for a body that ends too early; that goes on here."""
    from huggingface_hub import hf_hub_download
    from requests.exceptions import ChunkedEncodingError

    offline = not can_reach_hub()  # else its client waits half a minute before it says so
    for attempt in range(ATTEMPTS):
        try:
            path = hf_hub_download(
                name, HUB_FILE, revision=revision, cache_dir=cache, local_files_only=offline
            )
            return Path(path)
        except ChunkedEncodingError as error:
            if attempt + 1 == ATTEMPTS:
                raise
            logger.warning("%s: %s; trying again", name, _shorten(error))
            time.sleep(PAUSE_S)
    raise AssertionError(name)


def can_reach_hub() -> bool:
    """Whether the Hub's server takes a connection; True where a proxy stands between."""
    import requests
    from huggingface_hub import constants

    if requests.utils.get_environ_proxies(constants.ENDPOINT):
        return True
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def _shorten(error: BaseException) -> str:
    """The innermost cause, on one line."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:120] or type(error).__name__


def _explain_disk(error: OSError, cache: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {cache} is full; make room, or set HF_HOME to a folder elsewhere"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{cache} cannot be written ({error.strerror}); set HF_HOME to a folder that can"
    cause = " ".join(str(error).split())[:160]
    return f"the download broke off ({cause}); run the same command to go on"


def _explain_hub(error: Any, name: str, revision: str | None) -> str:
    """One sentence for each of the Hub's refusals, without its full stop."""
    from huggingface_hub import errors

    match error:
        case errors.LocalEntryNotFoundError():
            if getattr(error.__cause__, "response", None) is None:
                return _explain_absence(name)
            error = error.__cause__
        case errors.GatedRepoError():
            return "its owner must grant access; ask on its page, then set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return _explain_stranger(name)
        case errors.RevisionNotFoundError():
            return f"the Hub has it, but not the revision {revision}; leave @{revision} out"
        case errors.EntryNotFoundError():
            return f"its repository has no {HUB_FILE}, so it is no Asteroid model; choose another"
        case errors.HFValidationError():
            return f"is no name on the Hub{_advise(name)}"
    status = error.response.status_code
    # without a token the Hub answers 401 for what does not exist, too
    if status == 401 and "credentials" not in error.response.headers.get("X-Error-Message", ""):
        return _explain_stranger(name)
    if status in (401, 403):
        return f"the Hub refuses it ({status}); check the token in HF_TOKEN or `hf auth login`"
    return f"the Hub answered {status}; run the same command again later"


def _explain_stranger(name: str) -> str:
    near = suggest_name(name)
    hint = f"did you mean {near}? Else " if near and near != name else ""
    return (
        f"the Hub has no such model, or hides it; {hint}check the name, or log in with "
        "`hf auth login` or HF_TOKEN where it is private"
    )


def _explain_absence(name: str) -> str:
    near = suggest_name(name)
    hint = f"did you mean {near}? Else " if near and near != name else ""
    if is_offline():
        return (
            f"is not in the cache and HF_HUB_OFFLINE is set; {hint}unset it, or give a local file"
        )
    return (
        f"is not in the cache and the Hub cannot be reached; {hint}check network, proxy and "
        "HF_ENDPOINT, or give a local file"
    )
