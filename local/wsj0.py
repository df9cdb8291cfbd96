"""WSJ0 (CSR-I, LDC93S6A), paid: 16 kHz, as LDC ships it (discs in sub-folders) or converted.

It is read through published lists (``local/wsj0mix.py``), which name its utterances; nothing
here draws mixtures from it.
"""

import re
from pathlib import Path

from separation.corpora.audio_tree import walk_links
from separation.corpora.plugin import CorpusInfo, Licence
from separation.errors import MissingInputError

INFO = CorpusInfo(
    name="wsj0",
    kind="speech",
    title="CSR-I (WSJ0) Complete, LDC93S6A",
    licence=Licence(
        "LDC User Agreement",
        "https://www.ldc.upenn.edu/data-management/using/licensing",
        non_commercial=True,
    ),
    author="LDC",
    author_link="https://www.ldc.upenn.edu/",
    homepage="https://catalog.ldc.upenn.edu/LDC93S6A",
    language="en",
    sample_rate=16000,
    subsets=("si_tr_s", "si_dt_05", "si_et_05"),
    readme="egs/wsj0mix/README.md",
)
UTTERANCE = re.compile(r"[0-9]{2}[0-9a-z][aco][0-9]{2}[0-9a-z]{2}")  # all of the published lists'
SUFFIXES = (".wav", ".wv1", ".flac", ".sph")


def parse_speaker(utterance: str) -> str:
    """The speaker of an utterance of WSJ0; empty for other names.

    >>> parse_speaker("01to030v"), parse_speaker("dir/a.wav")
    ('01t', '')
    """
    return utterance[:3] if UTTERANCE.fullmatch(utterance) else ""


def name_utterance(path: str) -> str:
    """``si_tr_s/01t/01to030v`` for any spelling of an utterance's path."""
    parts = Path(path).with_suffix("").parts[-3:]
    return "/".join(parts).lower()


def index_corpus(speech: Path) -> dict[str, str]:
    """Relative path of every first-microphone file of WSJ0, by :func:`name_utterance`."""
    if not speech.is_dir():
        raise MissingInputError(f"--corpus wsj0={speech}: no such folder; check the path.")
    files: dict[str, str] = {}
    for folder, entries in walk_links(speech):
        parts = Path(folder).parts
        if len(parts) < 2 or parts[-2].lower() not in INFO.subsets:
            continue
        for path in (Path(entry.path) for entry in entries):
            if path.suffix.lower() in SUFFIXES:
                files.setdefault(name_utterance(str(path)), str(path.relative_to(speech)))
    if not files:
        raise MissingInputError(
            f"--corpus wsj0={speech}: holds no si_tr_s, si_dt_05, si_et_05 with .wv1 or .wav files."
        )
    return files
