"""Writes docs/licences.md: models that come along, corpora, packages of this environment.

    .venv/bin/python -m requirements.licences

Packages are those that the requirement files name, as far as they are installed, and what those
ask for; what importlib.metadata says of them is repeated, not judged.
"""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from separation.corpora.plugin import list_names, read_info
from separation.models import shipped
from separation.recordings import speech_networks
from separation.recordings.report import dnsmos

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
FOLLOWED = tuple(f"requirements{own}.txt" for own in ("", "-dev", "-demo", "-cluster"))
ALONE = ("requirements-nodeps.txt", "requirements-voices.txt")  # installed with --no-deps
WHEELS = (
    ("resemblyzer's speaker encoder", "resemblyzer==0.1.4", "Apache-2.0", speech_networks.ENCODER),
    ("silero-vad's speech detector", "silero-vad==6.2.3", "MIT", speech_networks.DETECTOR),
    ("DNSMOS P.835", "speechmos==0.0.1.1", "MIT", dnsmos.NETWORK),
)
INTRODUCTION = """# Licences and hashes

Written by `.venv/bin/python -m requirements.licences`. The code of this repository is under the MIT
licence ([LICENSE](../LICENSE)). Hashes of all files that pip fetches: `requirements/hashed.txt`
and its neighbours, by which `bash bootstrap.sh --hashed` installs."""


def format_models() -> str:
    """The shipped separator and the networks of wheels, of which only the weights are read."""
    own = shipped.read_shipped()
    rows = [
        f"| {shipped.NAME}, the separator | this repository | {shipped.LICENCE} | `{own.sha256}` |",
        *(f"| {what} | {wheel} | {licence} | `{sha}` |" for what, wheel, licence, sha in WHEELS),
    ]
    head = "| model | comes with | licence | sha256 of the weights' file |\n|---|---|---|---|"
    trained = ", ".join(f"{c.title} ({c.licence}, {c.author})" for c in shipped.TRAINED_ON)
    return (
        "\n".join([head, *rows]) + f"\n\nThe separator was trained on {trained}. Wheels are "
        "optional; their hashes are checked before their weights are read."
    )


def format_corpora() -> str:
    """What the files of ``local/`` say of their corpora."""
    rows = ["| corpus | kind | licence | author |", "|---|---|---|---|"]
    for name in list_names():
        info = read_info(name)
        licence = f"[{info.licence.name}]({info.licence.link})" if info.licence else "of its files"
        rows.append(f"| {info.title} (`{name}`) | {info.kind} | {licence} | {info.author or '-'} |")
    return "\n".join(rows)


def read_names(path: Path) -> list[str]:
    """Packages that a requirement file names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(line).name for line in lines if re.match(r"[A-Za-z]", line)]


def list_packages() -> list[str]:
    """Names of the installed packages that are needed, lower case, sorted."""
    waiting = [name for file in FOLLOWED for name in read_names(ROOT / file)]
    alone = {normalise(name) for file in ALONE for name in read_names(ROOT / file)}
    found: set[str] = set()
    for name in [*alone, *waiting]:
        found |= {normalise(name)} if is_installed(name) else set()
    while waiting:
        name = waiting.pop()
        if not is_installed(name) or normalise(name) in alone:
            continue
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            wanted = not needed.marker or needed.marker.evaluate({"extra": ""})
            if wanted and is_installed(needed.name) and normalise(needed.name) not in found:
                found.add(normalise(needed.name))
                waiting.append(needed.name)
    return sorted(found)


def normalise(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_installed(name: str) -> bool:
    """Whether this environment has a package."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def find_licence(name: str) -> str:
    """A package's own statement, its first line; else its classifiers', else its licence file's."""
    stated = distribution(name).metadata
    text = (stated.get("License-Expression") or stated.get("License") or "").strip()
    text = "" if text == "UNKNOWN" else text
    classified = [
        own.rpartition(" :: ")[2]
        for own in stated.get_all("Classifier") or ()
        if own.startswith("License ::")
    ]
    first = text.splitlines()[0] if text else ""
    if not first or (len(text.splitlines()) > 1 and classified):
        first = ", ".join(classified)
    return (first or read_title(name))[:80].replace("|", "/") or "see its files"


def read_title(name: str) -> str:
    """The first line of the licence file that a package brings; empty: it brings none."""
    for path in distribution(name).files or ():
        if path.name.lower().startswith(("licen", "copying")) and ".dist-info" in path.parts[0]:
            lines = path.read_text().strip().splitlines()
            return lines[0].strip() if lines else ""
    return ""


def format_packages() -> str:
    """Every package with its version and licence."""
    rows = ["| package | version | licence |", "|---|---|---|"]
    for name in list_packages():
        rows.append(f"| {name} | {distribution(name).version} | {find_licence(name)} |")
    return "\n".join(rows)


def write_page(page: Path = PAGE) -> None:
    """Write the page."""
    parts = [
        INTRODUCTION,
        "## Models that come along\n" + format_models(),
        "## Corpora\n" + format_corpora(),
        "## Packages\n" + format_packages(),
    ]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(page)


if __name__ == "__main__":
    write_page()
