"""What a corpus's file in ``local/`` holds, and the loader that finds it by its name.

A file in ``local/`` is a corpus of speech, a corpus of noise, or a set of published lists of
mixtures. It has ``INFO`` and of these functions those that apply:

- speech, noise: ``list_recordings(root) -> list[Recording]``; ``find_root(root) -> Path``, the
  folder that their paths are relative to; ``check_corpus(root, recordings) -> CorpusCheck``
- lists: ``name_lists``, ``list_path``, ``read_list``, ``is_published``, ``read_lengths``, and
  where they apply ``name_subsets``, ``explain_missing``, ``parse_name`` (of files that are no
  mixture tables); ``recognise``, ``has_ids``, ``add_speakers``, ``compare_input`` for lists that
  can be recognised: ``local/librimix.py`` has them all
- any: ``download(folder, request)``, which leaves the corpus in ``folder/<INFO.folder>``;
  ``parse_speaker(utterance)``, ``parse_utterance(path)`` and ``parse_utterances(mixture_id)``
  where names say so much

Kept free of heavy imports: the stages' done-checks list recordings too.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NoReturn

from separation.config.schema import Conf
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.files import hash_text, locate_recording
from separation.text import suggest_nearest

LOCAL = ROOT / "local"
Kind = Literal["speech", "noise", "lists"]
KINDS = {
    "speech": "corpus of speech",
    "noise": "corpus of noise",
    "lists": "set of published lists",
}


@dataclass(frozen=True)
class Licence:
    """Of a corpus: its name, where it can be read, whether it forbids commercial use."""

    name: str
    link: str
    non_commercial: bool = False


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """What is known of a corpus whatever its recordings: the ``INFO`` of its file in ``local/``.

    Attributes:
        name: of the file, and in ``--corpus NAME=DIR`` and ``corpus.source=NAME``.
        kind: speech, noise, or published lists of mixtures.
        title: in full, for the card of a published model.
        licence: None where it has none of its own (a user's recordings), or one for each voice.
        author: who made it; ``author_link`` where to find them.
        homepage: where it is described or fetched.
        language: as the Hub writes it (``en``); empty where it is several, or not known.
        sample_rate: Hz; 0 where files differ or it is not known.
        subsets: its own divisions, such as ``train-clean-100``.
        unpacked_as: the folder that its download makes; empty: ``name``.
        is_shared: downloaded once, for all recipes (``data/corpora``), or into a data set's folder.
        readme: what documents it.
        mixtures: what mixtures of it are called, such as ``Libri{n_src}Mix``.
        list_suffix: of lists: that of their files, where these are no mixture tables as such.
        min_samples: of lists: the shortest utterance in them.
        shared_speakers: of lists: pairs of splits that have speakers in common by design.
        takes_reading: whether its ``list_recordings`` and ``check_corpus`` take a :class:`Reading`.
    """

    name: str
    kind: Kind
    title: str
    licence: Licence | None = None
    author: str = ""
    author_link: str = ""
    homepage: str = ""
    language: str = ""
    sample_rate: int = 0
    subsets: tuple[str, ...] = ()
    unpacked_as: str = ""
    is_shared: bool = True
    readme: str = ""
    mixtures: str = ""
    list_suffix: str = ""
    min_samples: int = 1
    shared_speakers: frozenset[tuple[str, str]] = frozenset()
    takes_reading: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder that holds the corpus once it is downloaded."""
        return self.unpacked_as or self.name


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a corpus's own code knows of one file."""

    speaker: str
    sex: str = ""  # F, M or empty where unknown
    path: str  # relative to the corpus root
    prompt: str  # the same text in the same voice has the same prompt name
    channel: str = ""  # overrides corpus.channel where the corpus itself is known
    transcript: str = ""
    subset: str = ""  # the corpus's own division, such as train-clean-100
    age: str = ""  # in the corpus's own terms: years, or a group
    accent: str = ""
    utterance: str = ""  # the corpus's own name of it, where it has one


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How folders of one's own recordings are read: keys of a recipe's ``corpus`` section.

    Attributes:
        speaker_level: level of the folders that are speakers, counted from 1; 0: see
            :mod:`separation.corpora.speaker_folders`.
        speaker_pattern: regular expression whose group is the speaker in a path; empty: none.
        allow_commands: whether commands in tables may be run.
        archive_rate: Hz, of numbers in Kaldi's archives, which state none; 0: not known.
        extracted: holds what stage 0 cuts out of recordings, archives and commands; None: it may
            not, so such utterances are refused.
    """

    speaker_level: int = 0
    speaker_pattern: str = ""
    allow_commands: bool = False
    archive_rate: int = 0
    extracted: Path | None = None


@dataclass(frozen=True)
class CorpusCheck:
    """How a corpus on disk compares with what it should hold.

    Attributes:
        faults: files that its own lists name and that are absent, or the other way round.
        remarks: what a user should know, such as counts that differ from the published ones.
    """

    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DownloadRequest:
    """What a recipe needs of a corpus, for ``download(folder, request)``.

    Attributes:
        subsets: the corpus's (of lists: their corpus's) subsets; none: all that there are.
        n_src: of lists: speakers in a mixture.
        mirror: ``corpus.mirror``, where a corpus lies in several places.
    """

    subsets: tuple[str, ...] = ()
    n_src: int = 2
    mirror: str = ""


def list_names(*kinds: Kind) -> list[str]:
    """Names of all corpora in ``local/``, sorted; of these kinds where any is given."""
    names = sorted(path.stem for path in LOCAL.glob("*.py") if not path.stem.startswith("_"))
    return [name for name in names if not kinds or read_info(name).kind in kinds]


def load(name: str) -> ModuleType:
    """The module ``local/<name>.py``.

    Raises:
        UserError: there is no such file, or its ``INFO`` is not that of this name.
    """
    if name not in list_names():
        raise _refuse_unknown(name, list_names())
    module = importlib.import_module(f"local.{name}")
    info = getattr(module, "INFO", None)
    if not isinstance(info, CorpusInfo) or info.name != name or info.kind not in KINDS:
        raise UserError(
            f"{LOCAL / name}.py: should have INFO = CorpusInfo(name={name!r}, kind=...), of kind "
            f"{', '.join(KINDS)}; a file that is no corpus belongs into separation/corpora/."
        )
    return module


def _refuse_unknown(name: str, known: list[str], kind: str = "corpus", key: str = "") -> UserError:
    hint = f"{suggest_nearest(name, known)}known: {', '.join(known)}"
    return UserError(f"{key}{name}: there is no {kind} of this name in local/; {hint}.")


def read_info(name: str) -> CorpusInfo:
    """The corpus's ``INFO``; :class:`UserError` where there is no such corpus."""
    return load(name).INFO


def is_of_kind(name: str, kind: Kind) -> bool:
    """Whether there is such a corpus, and it is of this kind."""
    return name in list_names() and read_info(name).kind == kind


def check_conf_names(conf: Conf) -> None:
    """Check that the corpora which a config names are there, and of the kind that is asked for.

    Raises:
        UserError: names the key, and the nearest name.
    """
    kinds: dict[str, tuple[str, Kind]] = {
        "corpus.source": (conf.corpus.source, "speech"),
        "corpus.noise": (conf.corpus.noise, "noise"),
    }
    if conf.metadata.lists != "none":
        kinds["metadata.lists"] = (conf.metadata.lists, "lists")
    for key, (name, kind) in kinds.items():
        if not is_of_kind(name, kind):
            raise _refuse_unknown(name, list_names(kind), KINDS[kind], f"{key}=")


def choose_roots(roots: Mapping[str, Path], purpose: str) -> tuple[Path, Path | None]:
    """Of ``--corpus`` folders those of speech and of noise.

    A name that is no corpus in ``local/`` stands for speech, its paths relative to the folder.

    Args:
        roots: by name.
        purpose: what needs them, at the start of the sentence.

    Raises:
        MissingInputError: a folder is not there.
        UserError: not exactly one corpus of speech, or two of noise.
    """
    noises = [name for name in roots if is_of_kind(name, "noise")]
    speech = [name for name in roots if name not in noises and not is_of_kind(name, "lists")]
    if len(speech) != 1 or len(noises) > 1:
        raise UserError(
            f"{purpose} needs one corpus of speech, such as --corpus librispeech=DIR, and "
            "--corpus wham=DIR (or noise=DIR) for noise; given: "
            f"{', '.join(sorted(roots)) or 'none'}."
        )
    for name, root in roots.items():
        if not root.is_dir():
            raise MissingInputError(f"--corpus {name}={root}: no such folder; check the path.")
    return find_root(speech[0], roots[speech[0]]), roots[noises[0]] if noises else None


def list_recordings(name: str, root: Path, reading: Reading | None = None) -> list[Recording]:
    """The recordings under ``root``, as the corpus's own code lists them.

    Raises:
        UserError: no such corpus, one that is read through published lists only, or one whose
            layout is known where a ``reading`` is asked for.
        MissingInputError: the folder is not this corpus.
    """
    module = load(name)
    if not hasattr(module, "list_recordings"):
        raise UserError(
            f"corpus {name}: local/{name}.py lists no recordings, so mixtures cannot be drawn from "
            "it; take published lists (metadata.draw=false), or give your own with speech=DIR."
        )
    if module.INFO.takes_reading:
        return module.list_recordings(root, reading or Reading())
    for key, value in dataclasses.asdict(reading or Reading()).items():
        if value and key != "extracted":
            refuse_reading(key, value, name)
    return module.list_recordings(root)


def refuse_reading(key: str, value: object, name: str) -> NoReturn:
    """Raise :class:`UserError` for a key of :class:`Reading` and a corpus that takes none."""
    raise UserError(
        f"corpus.{key}={value}: corpus {name} has a layout of its own; the key is for --corpus "
        "speech=DIR, so leave it out."
    )


@functools.cache
def list_functions(function: str) -> list[Callable[..., Any]]:
    """This function of every corpus whose own code has it, in the order of their names."""
    modules = [load(name) for name in list_names()]
    return [getattr(module, function) for module in modules if hasattr(module, function)]


def find_root(name: str, root: Path, reading: Reading | None = None) -> Path:
    """The folder that paths of a corpus's recordings are relative to: mostly ``root`` itself."""
    if name not in list_names():
        return root
    module = load(name)
    if module.INFO.takes_reading:
        return module.find_root(root, reading)
    return module.find_root(root) if hasattr(module, "find_root") else root


def check_corpus(
    name: str, root: Path, recordings: list[Recording], reading: Reading | None = None
) -> CorpusCheck:
    """Whether the corpus is whole; nothing where its own code cannot tell.

    Raises:
        UserError: nobody can tell who speaks in it.
    """
    module = load(name)
    if module.INFO.takes_reading:
        return module.check_corpus(root, recordings, reading or Reading())
    if hasattr(module, "check_corpus"):
        return module.check_corpus(root, recordings)
    return CorpusCheck()


def prepare(name: str, root: Path, reading: Reading, n_jobs: int) -> None:
    """Cut out what a corpus's tables name and what is no file of its own; mostly nothing."""
    module = load(name)
    if hasattr(module, "prepare"):
        module.prepare(root, reading, n_jobs)


def can_list(name: str) -> bool:
    """Whether mixtures can be drawn from the corpus's recordings."""
    return hasattr(load(name), "list_recordings")


def can_download(name: str) -> bool:
    """Whether the corpus's own code can fetch it."""
    return hasattr(load(name), "download")


def download(name: str, folder: Path, request: DownloadRequest) -> None:
    """Fetch a corpus into ``folder/<INFO.folder>``; what is there already is kept."""
    load(name).download(folder, request)


def fingerprint_recordings(recordings: list[Recording], root: Path) -> str:
    """Hash of names, speakers and sizes: changes when files come, go or are replaced."""
    paths = [(row, locate_recording(Path(root, row.path))) for row in recordings]
    lines = [f"{row}\t{path.stat().st_size}" for row, path in paths]
    return hash_text("\n".join(sorted(lines)))
