"""Names out of files, as paths that stay where they are meant to be.

A name in a table, archive, list or answer of a server is somebody else's text. Whoever makes a
path of one, of a mixture or a speaker, goes through :func:`place_inside`.
"""

import re
from pathlib import Path

from separation.errors import UserError

LONGEST_PART = 230  # bytes; file systems take 255, of which suffixes and marks need some
LONGEST = 1000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
DRIVE = re.compile(r"[A-Za-z]:(/|$)")


def find_name_fault(name: str) -> str:
    r"""Why a name cannot become a path below a folder; empty where it can.

    Slashes make folders. A name has one spelling: ``a//b`` and ``./a`` would be the same file as
    ``a/b`` and ``a``, so they are refused, and different names are different files. Nor may it hold
    a backslash or begin with a drive: on a Windows share that is mounted here they lead elsewhere.

    >>> find_name_fault("a/b"), find_name_fault("../a"), find_name_fault("/etc/a")
    ('', 'leaves its folder', 'leaves its folder')
    >>> find_name_fault(r"..\a"), find_name_fault("C:/a")
    ('holds a backslash', 'leaves its folder')
    """
    if not name:
        return "is empty"
    if CONTROL.search(name):
        return "holds control characters"
    try:
        sizes = [len(part.encode("utf-8")) for part in name.split("/")]
    except UnicodeEncodeError:
        return "is not UTF-8"
    if "\\" in name:
        return "holds a backslash"
    parts = name.split("/")
    if ".." in parts or parts[0] == "" or DRIVE.match(name):
        return "leaves its folder"
    if "" in parts or "." in parts:
        return "is no plain path"
    if max(sizes) > LONGEST_PART or sum(sizes) > LONGEST:
        return "is too long for a file's name"
    return ""


def place_inside(root: Path, name: str, suffix: str = "") -> Path:
    """The path of a name below a folder.

    Args:
        root: the folder.
        name: out of a file; may hold slashes.
        suffix: is added, such as ``.wav``.

    Raises:
        UserError: it would lie elsewhere, also by a link in ``root``, or no file system takes it.
    """
    if fault := find_name_fault(name):
        raise UserError(f"{shorten_name(name)}: {fault}, so it names no file in {root}; rename it.")
    place = root / f"{name}{suffix}"
    if "/" in name and not place.parent.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{shorten_name(name)}: a link in {root} leads it elsewhere; remove the link."
        )
    return place


def shorten_name(name: str, n_shown: int = 60) -> str:
    r"""A name in quotes for a sentence: control characters escaped, the middle of a long one out.

    >>> shorten_name("a\nb"), shorten_name("x" * 99, 9)
    ("'a\\nb'", "'xxxx...xxxx'")
    """
    half = (n_shown - 1) // 2
    return repr(name if len(name) <= n_shown else f"{name[:half]}...{name[-half:]}")
