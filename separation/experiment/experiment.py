"""The stages: what each reads, writes and depends on, and whether it is done.

Done-checks import neither torch nor Asteroid, so a driver with nothing to do answers at once.
A stage's key is the hash of all it depends on; its marker, written last, holds the key and the
sizes of its outputs. A marker whose key differs, or whose outputs are gone, counts for nothing.
"""

import logging
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from separation.config.load import list_differences
from separation.config.schema import Conf
from separation.config.training import MACHINE_KEYS
from separation.corpora.plugin import (
    Recording,
    find_root,
    fingerprint_recordings,
    list_recordings,
    read_info,
)
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.files import (
    fingerprint_file,
    hash_text_file,
    hash_value,
    read_json,
    read_rows,
    stamp_file,
    write_json,
    write_text,
)
from separation.mixtures.existing import find_splits, list_mixtures
from separation.mixtures.published_lists import keep_subsets, list_utterances, read_published

logger = logging.getLogger(__name__)

STAGES = ("preflight", "corpus", "metadata", "audio", "train", "evaluate", "report")
TRAINING_SECTIONS = ("corpus", "splits", "metadata", "mixtures", "audio", "model", "training")
EXISTING = ("train", "dev", "test")


@dataclass
class Experiment:
    """One recipe with its options: where everything lies, and what each stage depends on.

    Attributes:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        conf: the resolved config.
        data: tables and packed audio of this kind of mixtures.
        folder: the experiment.
        corpus_roots: ``--corpus`` by name.
        downloads: corpora fetched by stage 0.
        shared: measurements of the corpus, for all kinds of mixtures of a data set.
    """

    recipe: str
    conf: Conf
    data: Path
    folder: Path
    corpus_roots: dict[str, Path]
    downloads: Path = ROOT / "data" / "corpora"
    n_jobs: int = 2
    device: str = "auto"
    shared: Path = ROOT / "data"
    _keys: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Where the mixtures come from: ``existing`` audio, ``published`` lists, or ``drawn``."""
        if {"mixtures", *EXISTING} & set(self.corpus_roots):
            return "existing"
        return "drawn" if self.conf.metadata.draw else "published"

    def root(self, name: str) -> Path:
        """Root of a corpus: given with --corpus, or downloaded under data/."""
        if name in self.corpus_roots:
            return self.corpus_roots[name]
        return self.download_folder(name) / read_info(name).folder

    def download_folder(self, name: str) -> Path:
        """What a corpus is downloaded into: one folder for all recipes, or this data set's."""
        return self.downloads if read_info(name).is_shared else self.data

    @cached_property
    def corpus_root(self) -> Path:
        """Where the recordings lie: paths in the tables are relative to it."""
        source = self.conf.corpus.source
        return find_root(source, self.root(source))

    @property
    def noise_root(self) -> Path:
        """Where the noises lie."""
        return self.root(self.conf.corpus.noise)

    @property
    def noisy(self) -> bool:
        return self.conf.mixtures.task == "sep_noisy" and self.origin != "existing"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of fixed mixtures that are validated and tested on."""
        if self.origin == "drawn":
            return self.conf.splits.fixed_splits()
        return ("dev", "test")

    @property
    def test_splits(self) -> tuple[str, ...]:
        return self.splits[1:]

    @property
    def has_train_list(self) -> bool:
        """Whether there is a fixed training list."""
        drawn = self.conf.metadata.rules == "librimix" or self.conf.mixtures.n_train > 0
        return self.origin != "drawn" or drawn

    @property
    def mixes_dynamically(self) -> bool:
        return self.origin != "existing" and self.conf.training.dynamic_mixing

    @property
    def tables(self) -> tuple[str, ...]:
        """Every split that has a mixture table."""
        return ("train", *self.splits) if self.has_train_list else self.splits

    @property
    def table(self) -> Path:
        return self.data / "corpus.csv"

    @property
    def noise_table(self) -> Path:
        return self.data / "noise.csv"

    def mixture_table(self, split: str) -> Path:
        return self.data / "metadata" / f"{split}.csv"

    @property
    def packed(self) -> Path:
        return self.data / f"packed_{self.conf.audio.sample_rate}"

    @property
    def exact(self) -> Path:
        return self.data / "exact"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "best_model.pth"

    @cached_property
    def recordings(self) -> list[Recording]:
        """What training can draw from, and what a draw of fixed mixtures does."""
        if self.origin == "published":
            return list_utterances(self.published["train"])
        source = self.conf.corpus.source
        found = list_recordings(source, self.root(source))
        return keep_subsets(found, self.conf.metadata.lists, self.conf.metadata.train)

    @cached_property
    def published(self) -> dict[str, list[dict[str, str]]]:
        """The published lists of train, dev and test."""
        metadata = self.conf.metadata
        root = self.root(metadata.lists)
        n_src = self.conf.mixtures.n_src
        return read_published(metadata.lists, root, self.corpus_root, n_src, metadata.train)

    @cached_property
    def existing(self) -> dict[str, list[dict[str, str]]]:
        """Rows of audio that exists already, by split."""
        mixtures, folders = self.conf.mixtures, {}
        if "mixtures" in self.corpus_roots:
            where = (self.conf.audio.sample_rate, mixtures.mode, self.conf.metadata.train)
            folders = find_splits(self.corpus_roots["mixtures"], *where)
        folders |= {name: self.corpus_roots[name] for name in EXISTING if name in self.corpus_roots}
        missing = [name for name in EXISTING if name not in folders]
        if missing:
            raise UserError(f"mixtures for {', '.join(missing)}: add --corpus {missing[0]}=DIR.")
        return {
            split: list_mixtures(folders[split], mixtures.n_src, mixtures.task)
            for split in EXISTING
        }

    def corpora(self) -> Any:
        """The :class:`~separation.mixtures.source_files.Corpora` of the mixture tables' paths."""
        from separation.corpora.pack import ExactPack
        from separation.mixtures.source_files import Corpora

        pack = ExactPack(self.exact) if self.conf.audio.exact_pack and self.exact.is_dir() else None
        return Corpora(self.corpus_root, self.noise_root if self.noisy else None, pack)

    def mixtures(self, split: str) -> Any:
        """A split's :class:`separation.mixtures.dataset.MixtureSet`."""
        from separation.mixtures.dataset import MixtureSet

        rows = read_rows(self.mixture_table(split))
        kind = "mix_both" if self.noisy else ""
        conf = self.conf
        where = (conf.audio.sample_rate, conf.mixtures.mode, kind)
        return MixtureSet(rows, self.corpora(), *where)

    def forget_inputs(self) -> None:
        """After a download: look again at what is there."""
        for name in ("recordings", "published", "existing", "inputs_fingerprint", "corpus_root"):
            self.__dict__.pop(name, None)

    @cached_property
    def inputs_fingerprint(self) -> str:
        """Hash of names and sizes of what the first stages read; of audio that exists the names."""
        if self.origin == "existing":
            return hash_value(self.existing)
        listing = fingerprint_recordings(self.recordings, self.corpus_root)
        lists = hash_value(self.published) if self.origin == "published" else ""
        return hash_value([self.origin, listing, lists, str(self.noise_root) * self.noisy])

    def key(self, stage: str) -> str:
        """Hash of what ``stage`` depends on: config sections and the stages before it."""
        if stage not in self._keys:
            self._keys[stage] = hash_value(self._dependencies(stage))
        return self._keys[stage]

    def _dependencies(self, stage: str) -> list[Any]:
        conf = self.conf
        match stage:
            case "preflight":
                roots = {name: str(path) for name, path in self.corpus_roots.items()}
                return [conf.corpus.source, roots, self.noisy, self.inputs_fingerprint]
            case "corpus":
                return [self.inputs_fingerprint, conf.section("corpus", "splits")]
            case "metadata":
                measured = conf.mixtures.train_level_by == "difference" and self.has_train_list
                rate = conf.audio.sample_rate if self.origin == "existing" or measured else 0
                return [self.key("corpus"), conf.section("metadata", "mixtures"), rate]
            case "audio":
                return [self.key("corpus"), conf.section("audio")]
            case "train":
                kept = {
                    name: value
                    for name, value in conf.section("training")["training"].items()
                    if name not in MACHINE_KEYS
                }
                return [self.data_key, conf.section("model"), kept, self.recipe]
            case "evaluate":
                return [self.scoring_key, self._stamp_tests()]
            case "report":
                others = sorted(self.folder.parents[1].glob("STFTMask/*/evaluation/summary.json"))
                doubts = [
                    fingerprint_file(path) for path in (self.folder / "overfit.json", *others)
                ]
                return [self.key("evaluate"), conf.section("report"), doubts]
        raise AssertionError(stage)

    @property
    def data_key(self) -> str:
        """Hash of the recordings and mixtures that a training takes."""
        return hash_value([self.key("metadata"), self.key("audio")])

    @property
    def scoring_key(self) -> str:
        """Hash of what every score of stage 5 depends on, whichever the mixture."""
        trained = fingerprint_file(self.checkpoint)
        conf = self.conf.section("evaluation")
        return hash_value([self.key("train"), trained, conf, self._guess_device()])

    def _guess_device(self) -> str:
        """Type of the device that ``auto`` will be; torch, which knows, takes seconds to import."""
        if self.device != "auto":
            return self.device
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
        return "cuda" if visible and any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"

    def _stamp_tests(self) -> list[Any]:
        """Sizes and times of test audio that exists already; other sets are drawn from corpora."""
        if self.origin != "existing":
            return []
        rows = [row for split in self.test_splits for row in self.existing[split]]
        paths = [row[key] for row in rows for key in row if key.endswith("_path")]
        return [stamp_file(Path(path)) for path in paths]

    def marker(self, stage: str) -> Path:
        home = self.folder if stage in ("train", "evaluate", "report") else self.data
        return home / f".done_{STAGES.index(stage)}_{stage}.json"

    def is_done(self, stage: str) -> bool:
        """Whether the stage finished with this very config and its outputs are still whole."""
        marker = read_json(self.marker(stage))
        if marker is None or not self._inputs_are_there():
            return False
        sizes = marker["outputs"].items()
        whole = all(_size_of(Path(path)) == size for path, size in sizes)
        return whole and marker["key"] == self.key(stage)

    def _inputs_are_there(self) -> bool:
        try:
            return bool(self.inputs_fingerprint)
        except (UserError, FileNotFoundError):
            return False

    def mark_done(self, stage: str, outputs: list[Path]) -> None:
        """Write the marker, last of all."""
        self._keys.pop(stage, None)
        sizes = {str(path): _size_of(path) for path in outputs}
        assert -1 not in sizes.values(), f"{stage} left out {sizes}"
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
        free = {f"training.{name}" for name in self.conf.training.may_change}
        changes = [
            change
            for change in list_differences(old, self.conf.section(*TRAINING_SECTIONS))
            if change.partition(":")[0] not in free
        ]
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

    @property
    def kind(self) -> str:
        """Which kind of mixtures of the data set dev and test are, such as ``drawn-2spk``.

        The name of the folder under data/MIX/, without that of a variant: its test sets are those
        of its recipe.
        """
        name = self.data.relative_to(self.shared).as_posix()
        if self.has_own_data:
            name = name.rpartition("/")[0]
        return "drawn-2spk" if name in (".", "") else name

    @property
    def has_own_data(self) -> bool:
        """Whether this is a variant with training data of its own."""
        return self.data.name == self.recipe.split("/")[-1]

    def compare_fingerprints(self) -> dict[str, str]:
        """For each split a word on whether its list is that of egs/MIX/fingerprints.json.

        Empty where the data set has no published lists.
        """
        path = ROOT / "egs" / self.recipe.split("/")[0] / "fingerprints.json"
        published = read_json(path)
        if published is None or self.kind not in published:
            return {}
        known = published[self.kind]
        return {
            split: "no fingerprint published yet"
            if split not in known
            else ("as published" if known[split] == own else f"not the published {known[split]}")
            for split, own in self.read_fingerprints().items()
            if split != "train" or not self.has_own_data
        }

    def read_fingerprints(self) -> dict[str, str]:
        """Fingerprint of each mixture table."""
        return {split: hash_text_file(self.mixture_table(split)) for split in self.tables}


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
