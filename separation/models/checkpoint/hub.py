"""A model's file through the Hub's own client and caches; its refusals as one sentence each."""

import errno
import importlib
import logging
import os
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from separation.errors import UserError
from separation.models.published import (
    HUB_FILE,
    advise_name,
    find_in_hub_caches,
    is_offline,
    name_cache_folder,
    suggest_name,
)
from separation.text import explain_error, find_cause

# Plain HTTP, unless the user says otherwise: for one file of 20 MB the Xet protocol saves nothing,
# begins a cut download anew, and reaches further servers by rules of its own for proxies. The
# client reads this at its first import.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

COMMIT = re.compile(r"[0-9a-f]{40}")
ATTEMPTS = 3  # to fetch a file
CONNECT_S = 5.0  # to wait for the Hub's server
PAUSE_S = 1.0  # between two attempts
logger = logging.getLogger(__name__)


def fetch_from_hub(name: str, revision: str | None, text: str) -> Path:
    """The file of a repository, from a cache or the Hub; one of Asteroid's cache is used there.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit; None for the newest.
        text: what the user wrote, for the sentences.

    Raises:
        UserError: refused, not reached, cut off, or no room for it.
    """
    from huggingface_hub import constants, errors

    cache = constants.HF_HUB_CACHE
    try:
        found = find_in_hub_caches(name, revision)
        if found and COMMIT.fullmatch(revision or ""):
            return found[1]  # a commit does not change: nobody is asked
        cache = found[0] if found else cache
        return _download(name, revision, cache)
    except (errors.HFValidationError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as e:
        raise UserError(f"{text}: {_explain_refusal(e, name, revision)}.") from e
    except list_errors("RequestException", "HTTPError") as e:
        again = "check network, proxy and HF_ENDPOINT, and run the same command to go on"
        raise UserError(f"{text}: fetching it from the Hub failed ({_explain(e)}); {again}.") from e
    except OSError as e:
        raise UserError(f"{text}: {_explain_disk(e, cache)}.") from e
    except Exception as e:  # hf_xet and hf_transfer have no classes of their own for what fails
        if not (chosen := _list_other_ways()):
            raise
        plain = f"set {' and '.join(chosen)} for plain HTTP, and run the same command again"
        raise UserError(f"{text}: fetching it failed ({_explain(e)}); {plain}.") from e


def _list_other_ways() -> list[str]:
    """Settings that undo a user's choice of another way than plain HTTP; empty where none is."""
    from huggingface_hub import constants

    ways = [] if constants.HF_HUB_DISABLE_XET else ["HF_HUB_DISABLE_XET=1"]
    has_transfer = getattr(constants, "HF_HUB_ENABLE_HF_TRANSFER", False)  # gone in version 1
    return ways + (["HF_HUB_ENABLE_HF_TRANSFER=0"] if has_transfer else [])


def list_errors(of_requests: str, of_httpx: str) -> tuple[type[Exception], ...]:
    """Classes of ``requests``, and of ``httpx``, which the client uses from its version 1 on."""
    found: list[type[Exception]] = [
        getattr(importlib.import_module("requests.exceptions"), of_requests)
    ]
    try:
        return (*found, getattr(importlib.import_module("httpx"), of_httpx))
    except ImportError:
        return tuple(found)


def _download(name: str, revision: str | None, cache: str) -> Path:
    """Its client tries again by itself, but for a body of another length; that goes on here."""
    from huggingface_hub import hf_hub_download

    # without the network its client would wait half a minute before it says so
    offline = is_offline() or not can_reach_hub()
    for attempt in range(ATTEMPTS):
        try:
            path = hf_hub_download(
                name, HUB_FILE, revision=revision, cache_dir=cache, local_files_only=offline
            )
            return Path(path)
        except list_errors("ChunkedEncodingError", "RemoteProtocolError") as error:
            reason: Exception = error
        except OSError as error:
            if "Consistency check failed" not in str(error):
                raise
            reason = error
            _remove_parts(name, cache)
        if attempt + 1 < ATTEMPTS:
            logger.warning("%s: %s; trying again", name, _explain(reason))
            time.sleep(PAUSE_S)
    raise reason


def _remove_parts(name: str, cache: str) -> None:
    """Bodies of another length, such as a login page: the client would add the rest to them."""
    for part in (Path(cache) / name_cache_folder(name) / "blobs").glob("*.incomplete"):
        part.unlink(missing_ok=True)


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


def _explain(error: BaseException) -> str:
    return explain_error(find_cause(error))[:120]


def _explain_disk(error: OSError, cache: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {cache} is full; make room, or set HF_HOME to a folder elsewhere"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return f"{cache} cannot be written ({error.strerror}); set HF_HOME to a folder that can"
    cause = explain_error(error)[:160]
    return f"the download broke off ({cause}); run the same command to go on"


def _explain_refusal(error: Any, name: str, revision: str | None) -> str:
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
            return f"is no name on the Hub{advise_name(name)}"
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
