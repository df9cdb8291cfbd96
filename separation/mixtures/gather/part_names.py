"""Which part of a mixture a folder, a file or a column is called after: mixture, source, noise."""

import re
from collections.abc import Iterable

MIXTURE, NOISE = "mixture", "noise"
MIXTURE_NAMES = (
    *("mix_clean", "mix", "mix_both", "mix_single"),  # as folders of mixtures are preferred
    *("mixture", "mixed", "mixtures", "noisy", "observation"),
)
SOURCE = re.compile(
    r"(?:s|spk|speaker|src|source|est|estimate|estimated|ref|reference|voice|sep|separated|out"
    r"|output|talker|target)?[_-]?(?:spk)?([0-9])(?:[_-]?(?:hat|est|estimate|pred))?",
    re.IGNORECASE,
)
SUFFIX = re.compile(r"(.+?)[_.-]([A-Za-z]+(?:_(?:clean|both|single))?[_-]?[0-9]?(?:hat)?|[0-9])")
PATH_WORDS = re.compile(r"[_ -]?(?:file_?path|file_?name|path|wav|file|audio)$", re.IGNORECASE)


def name_part(name: str) -> str:
    """``mixture``, ``s1``, ``noise`` ..., or empty where a name is none of them.

    >>> [name_part(name) for name in ("mix_both", "spk1", "source_2", "s1_hat", "noise1", "wav")]
    ['mixture', 's1', 's2', 's1', 'noise', '']
    """
    if name.lower() in MIXTURE_NAMES:
        return MIXTURE
    if re.fullmatch(r"noise1?", name, re.IGNORECASE):
        return NOISE
    found = SOURCE.fullmatch(name)
    return f"s{found[1]}" if found else ""


def split_stem(stem: str) -> tuple[str, str]:
    """The mixture and the part that a file's name without its suffix is of.

    A number of one digit counts as a source's, longer ones belong to the mixture.

    >>> split_stem("call_s2"), split_stem("call_1"), split_stem("call-mix"), split_stem("a-0031")
    (('call', 's2'), ('call', 's1'), ('call', 'mixture'), ('a-0031', ''))
    """
    found = SUFFIX.fullmatch(stem)
    part = name_part(found[2]) if found else ""
    return (found[1], part) if found and part else (stem, "")


def name_column(column: str) -> str:
    """The part of a mixture whose path a column or key holds, or empty.

    >>> [name_column(name) for name in ("source_1_path", "mix_wav", "s2", "speaker_1_ID", "wav")]
    ['s1', 'mixture', 's2', '', '']
    """
    return name_part(PATH_WORDS.sub("", column))


def number_from_one(parts: Iterable[str]) -> dict[str, str]:
    """Names of sources that count from 0, as they are with a count from 1; others unchanged.

    >>> number_from_one(["mixture", "s0", "s1"])
    {'mixture': 'mixture', 's0': 's1', 's1': 's2'}
    """
    names = list(parts)
    if "s0" not in names:
        return {name: name for name in names}
    return {name: f"s{int(name[1:]) + 1}" if name[1:].isdecimal() else name for name in names}
