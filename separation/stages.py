"""The stages: what each reads, writes and depends on, and whether it is done.

Done-checks import neither torch nor Asteroid, so a driver with nothing to do answers at once.
A stage's key is the hash of all it depends on; its marker, written last, holds the key and the
sizes of its outputs. A marker whose key differs, or whose outputs are gone, counts for nothing.
"""

import dataclasses
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from separation.config import Conf, list_differences, load_conf
from separation.errors import MissingInputError, UserError
from separation.files import hash_text, hash_value, read_json, write_json, write_text
from separation.recordings import Recording, fingerprint_recordings, list_recordings

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("preflight", "corpus", "metadata", "audio", "train", "evaluate", "report")
TRAINING_SECTIONS = ("corpus", "splits", "mixtures", "audio", "model", "training")
FIXED_SPLITS = ("dev", "test_seen", "test_unseen")


@dataclass
class Experiment:
    """One recipe with its options: where everything lies, and what each stage depends on.

    Attributes:
        recipe: ``MIX/MODEL``.
        conf: the resolved config.
        corpus_roots: ``--corpus`` by name.
    """

    recipe: str
    conf: Conf
    data: Path
    folder: Path
    corpus_roots: dict[str, Path]
    n_jobs: int = 2
    device: str = "auto"
    _keys: dict[str, str] = field(default_factory=dict)

    @property
    def corpus_root(self) -> Path:
        """Where the recordings lie: given with --corpus, or downloaded under data/."""
        return self.corpus_roots.get(self.conf.corpus.source, self.data / "corpus")

    @property
    def table(self) -> Path:
        return self.data / "corpus.csv"

    def mixture_table(self, split: str) -> Path:
        return self.data / "metadata" / f"{split}.csv"

    @property
    def packed(self) -> Path:
        return self.data / "packed"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "best_model.pth"

    @cached_property
    def recordings(self) -> list[Recording]:
        return list_recordings(self.conf.corpus.source, self.corpus_root)

    def key(self, stage: str) -> str:
        """Hash of what ``stage`` depends on: config sections and the stages before it."""
        if stage not in self._keys:
            self._keys[stage] = hash_value(self._dependencies(stage))
        return self._keys[stage]

    def _dependencies(self, stage: str) -> list[Any]:
        conf = self.conf
        match stage:
            case "preflight":
                return [conf.corpus.source, str(self.corpus_root)]
            case "corpus":
                listing = fingerprint_recordings(self.recordings, self.corpus_root)
                return [listing, conf.section("corpus", "splits")]
            case "metadata":
                return [self.key("corpus"), conf.section("mixtures")]
            case "audio":
                return [self.key("corpus"), conf.section("audio")]
            case "train":
                keys = [self.key("metadata"), self.key("audio")]
                return [*keys, conf.section("model", "training"), self.recipe]
            case "evaluate":
                trained = hash_file(self.checkpoint)
                return [self.key("train"), trained, conf.section("evaluation")]
            case "report":
                return [self.key("evaluate"), conf.section("report")]
        raise AssertionError(stage)

    def marker(self, stage: str) -> Path:
        home = self.folder if stage in ("train", "evaluate", "report") else self.data
        return home / f".done_{STAGES.index(stage)}_{stage}.json"

    def is_done(self, stage: str) -> bool:
        """Whether the stage finished with this very config and its outputs are still whole."""
        marker = read_json(self.marker(stage))
        if marker is None or not self._corpus_is_there():
            return False
        sizes = marker["outputs"].items()
        whole = all(_size_of(Path(path)) == size for path, size in sizes)
        return whole and marker["key"] == self.key(stage)

    def _corpus_is_there(self) -> bool:
        try:
            return bool(self.recordings)
        except UserError:
            return False

    def mark_done(self, stage: str, outputs: list[Path]) -> None:
        """Write the marker, last of all."""
        self._keys.pop(stage, None)
        sizes = {str(path): _size_of(path) for path in outputs}
        write_json(self.marker(stage), {"key": self.key(stage), "outputs": sizes})

    def require(self, *stages: str) -> None:
        """Raise :class:`MissingInputError` where an earlier stage is not done."""
        for stage in stages:
            if not self.is_done(stage):
                raise MissingInputError(
                    f"stage {STAGES.index(stage)} ({stage}) is not done for this config: run "
                    f"bash run.sh --recipe {self.recipe} --stage {STAGES.index(stage)}."
                )

    def refuse_other_config(self) -> None:
        """Raise :class:`UserError` where the experiment folder was begun with another config."""
        saved = self.folder / "conf.yml"
        if not saved.is_file():
            return
        old = yaml.safe_load(saved.read_text(encoding="utf-8"))
        changes = list_differences(old, self.conf.section(*TRAINING_SECTIONS))
        if changes:
            raise UserError(
                f"{self.folder} was trained with another config; choose a new --tag, or undo: "
                + "; ".join(changes)
                + "."
            )

    def save_conf(self) -> None:
        """Write the resolved config into the experiment folder."""
        text = yaml.safe_dump(self.conf.as_dict(), sort_keys=False)
        write_text(self.folder / "conf.yml", text)

    def read_fingerprints(self) -> dict[str, str]:
        """Fingerprint of each fixed mixture table."""
        return {
            split: hash_text(self.mixture_table(split).read_text(encoding="utf-8"))
            for split in FIXED_SPLITS
        }


def hash_file(path: Path) -> str:
    """sha256 of a file's first 16 digits, or empty where it is absent."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def open_experiment(
    recipe: str,
    overrides: list[str],
    tag: str = "default",
    corpora: list[str] | None = None,
    data: Path = ROOT / "data",
    exp: Path = ROOT / "exp",
    n_jobs: int = 2,
    device: str = "auto",
) -> Experiment:
    """Resolve the options of one call into an :class:`Experiment`.

    ``--corpus speech=DIR`` makes any recipe run on that folder of recordings.
    """
    conf = load_conf(ROOT, recipe, overrides)
    roots = dict(_parse_corpus(text) for text in corpora or [])
    if "speech" in roots and conf.corpus.source != "speech":
        corpus = dataclasses.replace(conf.corpus, source="speech")
        # The recipe's own unseen speakers are not in that folder: draw some.
        splits = dataclasses.replace(conf.splits, unseen_speakers=[])
        conf = dataclasses.replace(conf, corpus=corpus, splits=splits)
    unknown = sorted(set(roots) - {"speech", conf.corpus.source})
    if unknown:
        raise UserError(
            f"--corpus {unknown[0]}=...: this recipe reads speech or {conf.corpus.source}."
        )
    if conf.corpus.source == "speech" and "speech" not in roots:
        raise UserError(
            f"{recipe} needs --corpus speech=DIR, a folder with one sub-folder a speaker."
        )
    mix = recipe.split("/")[0]
    return Experiment(recipe, conf, data / mix, exp / recipe / tag, roots, n_jobs, device)


def _parse_corpus(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise UserError(f"--corpus {text}: write it as NAME=DIR.")
    return name, Path(folder).expanduser().resolve()
