"""Models that have a name: the shipped one and the published ones, where they lie, how they scored.

Light imports only.
"""

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from separation.environment import format_command
from separation.models import shipped

LIST = Path(__file__).resolve().parents[2] / "conf" / "published_models.yml"
HUB_FILE, ZENODO_FILE = "pytorch_model.bin", "model.pth"
ZENODO_URL = "https://zenodo.org/record/{}/files/model.pth?download=1"


@dataclass(frozen=True)
class PublishedModel:
    """The shipped model, or an entry of conf/published_models.yml; what is not known is empty or 0.

    Attributes:
        name: as the list calls it.
        hub: repository on the Hub; empty for the shipped model.
        revision: the commit that is downloaded, and that size and sha256 belong to.
        size: bytes.
        sha256: hex.
        zenodo: number of the Zenodo record.
        zenodo_name: what Asteroid's table calls that record.
        sample_rate: Hz, the true one.
        n_src: number of speakers.
        task: ``sep_clean`` or ``sep_noisy``.
        test_set: what the scores were measured on.
        licence: of the model, as its card states it.
        scores: si_sdr, si_sdri, sdr, sdri in dB, stoi; as published.
    """

    name: str
    hub: str
    revision: str
    size: int
    sha256: str
    zenodo: str
    zenodo_name: str
    sample_rate: int
    n_src: int
    task: str
    test_set: str
    licence: str
    scores: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it goes by, the Zenodo one too."""
        return (self.name, self.zenodo_name) if self.zenodo_name else (self.name,)

    @property
    def url(self) -> str:
        """Of its file on Zenodo; empty where it is not there."""
        return ZENODO_URL.format(self.zenodo) if self.zenodo else ""


@cache
def read_published(path: Path = LIST) -> tuple[PublishedModel, ...]:
    """The list, in its own order."""
    return tuple(_read_entry(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8")))


def _read_entry(entry: dict[str, Any]) -> PublishedModel:
    unknown = {"hub": entry["name"], "revision": "", "size": 0, "sha256": ""}
    zenodo = entry.pop("zenodo", {"record": "", "name": ""})
    entry |= {"zenodo": zenodo["record"], "zenodo_name": zenodo["name"]}
    return PublishedModel(**(unknown | entry))


def list_named() -> tuple[PublishedModel, ...]:
    """The shipped model, then the published ones."""
    return (find_shipped(), *read_published())


@cache
def find_shipped() -> PublishedModel:
    """The entry of the model that comes with the package."""
    own = shipped.read_shipped()
    first = own.test_sets[0]
    return PublishedModel(
        name=shipped.NAME,
        hub="",
        revision="",
        size=own.size,
        sha256=own.sha256,
        zenodo="",
        zenodo_name="",
        sample_rate=own.sample_rate,
        n_src=own.n_src,
        task="sep_clean",
        test_set=f"{first.by_speakers.n} speakers never heard",
        licence=shipped.LICENCE,
        scores={name: round(value.mean, 3) for name, value in first.means.items()},
    )


def find_by_name(name: str) -> PublishedModel | None:
    """The entry of that name, or of that name on Zenodo."""
    if name == shipped.NAME:  # which needs no list
        return find_shipped()
    return next((entry for entry in read_published() if name in entry.names), None)


def find_by_url(url: str) -> PublishedModel | None:
    """The entry whose file on Zenodo a URL names."""
    found = re.match(r"https?://(?:www\.)?zenodo\.org/records?/(\d+)/files/model\.pth", url)
    record = found[1] if found else "none"
    return next((entry for entry in read_published() if entry.zenodo == record), None)


def find_by_sha256(sha256: str) -> PublishedModel | None:
    """The entry whose file this is."""
    return next((entry for entry in list_named() if entry.sha256 == sha256), None)


def find_by_path(path: Path) -> PublishedModel | None:
    """The entry as whose file one lies, in the Hub's cache or right in a clone ``user/name``.

    A name alone is no proof, since anybody may call a model of their own so; nor is a folder
    further up, below which a fine-tuned model may lie.
    """
    if path.name not in (HUB_FILE, ZENODO_FILE):
        return None
    clone = "/".join(path.parts[-3:-1])
    repository = path.parts[-4] if path.parts[-3:-2] == ("snapshots",) else ""
    for entry in read_published():
        if clone == entry.name or repository == name_cache_folder(entry.name):
            return entry
    return None


def name_cache_folder(repository: str) -> str:
    """What the Hub's client calls a repository's folder in its cache."""
    return "models--" + repository.replace("/", "--")


def suggest_name(name: str) -> str:
    """The nearest published name; empty where none is near."""
    known = {known.lower(): known for entry in list_named() for known in entry.names}
    known |= {low.split("/")[-1]: full for low, full in known.items()}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return known[near[0]] if near else ""


def advise_name(name: str) -> str:
    """The rest of a sentence about a name that is none."""
    near = suggest_name(name)
    if near:
        return f"; did you mean {near}? `{format_command('models')}` lists the published ones"
    return f"; check the path, or see `{format_command('models')}` for names of published ones"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network, here for Zenodo too."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def asteroid_cache() -> Path:
    """Asteroid's own cache (``asteroid.utils.hub_utils.CACHE_DIR``), found without importing it."""
    default = Path("~/.cache/torch/asteroid").expanduser()
    return Path(os.environ.get("ASTEROID_CACHE") or default)


def locate_url(url: str) -> Path:
    """Where Asteroid keeps the file of a URL, and we do too."""
    return asteroid_cache() / hashlib.sha256(url.encode()).hexdigest() / ZENODO_FILE


def find_in_hub_caches(repository: str, revision: str | None) -> tuple[str, Path] | None:
    """The cache that has a repository's file of a revision, and the file; the Hub's cache first.

    Asteroid hands its own folder to the Hub's client, so its files lie apart. What a cache keeps
    of other revisions, or of a download that broke off, does not count.

    Args:
        repository: ``user/name``.
        revision: branch, tag or commit; None for the newest that is known here.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    for cache_folder in (constants.HF_HUB_CACHE, str(asteroid_cache())):
        found = try_to_load_from_cache(
            repository, HUB_FILE, cache_dir=cache_folder, revision=revision
        )
        if isinstance(found, str):
            return cache_folder, Path(found)
    return None


def find_cached(entry: PublishedModel) -> Path | None:
    """The file of a model on this disk: the shipped one's, or wherever one was downloaded from."""
    if entry.name == shipped.NAME:
        return shipped.MODEL
    if found := find_in_hub_caches(entry.hub, entry.revision or None):
        return found[1]
    path = locate_url(entry.url) if entry.url else None
    return path if path and path.is_file() else None
