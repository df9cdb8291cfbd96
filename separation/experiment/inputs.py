"""What the first stages read: recordings, published lists, or mixtures that exist as audio."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from separation.config.schema import Conf
from separation.corpora.plugin import (
    Reading,
    Recording,
    can_list,
    find_root,
    fingerprint_recordings,
    list_recordings,
)
from separation.errors import MissingInputError, UserError
from separation.experiment.roots import EXISTING, CorpusRoots
from separation.files import hash_value
from separation.mixtures.gather.splits import list_split, list_tree
from separation.mixtures.published_lists import (
    NAME_DRAW,
    keep_complete,
    keep_subsets,
    list_utterances,
    read_published,
)
from separation.mixtures.table import MixtureRow
from separation.text import list_first, list_lines

logger = logging.getLogger(__name__)
Origin = Literal["drawn", "published", "existing"]


def find_origin(conf: Conf, given: dict[str, Path]) -> Origin:
    """Where mixtures come from: ``existing`` audio, ``published`` lists, or ``drawn``.

    Args:
        conf: the resolved config.
        given: corpus roots by name.
    """
    if {"mixtures", *EXISTING} & set(given):
        return "existing"
    return "drawn" if conf.metadata.draw else "published"


def hold_noise(conf: Conf, origin: Origin) -> bool:
    """Whether mixtures hold a corpus's noise; audio that exists has its own."""
    return conf.mixtures.task == "sep_noisy" and origin != "existing"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The recordings and lists of an experiment, each looked up once.

    Attributes:
        conf: the resolved config.
        origin: where the mixtures come from.
        roots: of the corpora.
        noisy: whether the mixtures hold a corpus's noise.
    """

    conf: Conf
    origin: Origin
    roots: CorpusRoots
    noisy: bool

    @cached_property
    def speech_root(self) -> Path:
        """Where the recordings lie: paths in the tables are relative to it."""
        source = self.conf.corpus.source
        return find_root(source, self.roots.find(source), self.reading)

    @property
    def noise_root(self) -> Path:
        """Where the noises lie."""
        return self.roots.find(self.conf.corpus.noise)

    @property
    def reading(self) -> Reading:
        """How folders of one's own recordings are read."""
        corpus = self.conf.corpus
        return Reading(
            speaker_level=corpus.speaker_level,
            speaker_pattern=corpus.speaker_pattern,
            allow_commands=corpus.allow_commands,
            archive_rate=corpus.archive_rate,
            extracted=self.roots.shared / "speech",
        )

    @cached_property
    def recordings(self) -> list[Recording]:
        """What training can draw from, and what a draw of fixed mixtures does."""
        if self.origin == "published":
            return list_utterances(self.published["train"])
        source, metadata = self.conf.corpus.source, self.conf.metadata
        recordings = list_recordings(source, self.roots.find(source), self.reading)
        return keep_subsets(recordings, metadata.lists, metadata.train)

    @cached_property
    def published(self) -> dict[str, list[MixtureRow]]:
        """The published lists of train, dev and test; with ``corpus.skip_bad`` what is complete.

        Raises:
            UserError: nothing of a list is.
        """
        if not self.conf.corpus.skip_bad:
            return self.listed
        noise = self.noise_root if self.noisy else None
        kept = {
            split: keep_complete(rows, self.speech_root, noise)
            for split, rows in self.listed.items()
        }
        for split in (name for name, rows in kept.items() if not rows):
            fix = NAME_DRAW if can_list(self.conf.corpus.source) else "complete --corpus"
            raise MissingInputError(
                f"{split}: of none of its {len(self.listed[split])} published mixtures all files "
                f"are below {self.speech_root}; {fix}."
            )
        return kept

    @cached_property
    def listed(self) -> dict[str, list[MixtureRow]]:
        """The published lists of train, dev and test, whether their files are there or not."""
        metadata = self.conf.metadata
        root = self.roots.find(metadata.lists)
        n_src = self.conf.mixtures.n_src
        return read_published(metadata.lists, root, self.speech_root, n_src, metadata.train)

    @cached_property
    def existing(self) -> dict[str, list[MixtureRow]]:
        """Rows of audio that exists already, by split."""
        conf, given = self.conf, self.roots.given
        n_src, task, splits = conf.mixtures.n_src, conf.mixtures.task, {}
        if "mixtures" in given and not set(EXISTING) <= set(given):
            splits = list_tree(
                given["mixtures"],
                n_src,
                task,
                sample_rate=conf.audio.sample_rate,
                mode=conf.mixtures.mode,
                train=conf.metadata.train,
            )
        splits |= {name: list_split(given[name], n_src, task) for name in EXISTING if name in given}
        missing = [name for name in EXISTING if name not in splits]
        if missing:
            raise UserError(f"mixtures for {', '.join(missing)}: add --corpus {missing[0]}=DIR.")
        return {name: self._keep_usable(splits[name], name) for name in EXISTING}

    def _keep_usable(self, rows: list[MixtureRow], split: str) -> list[MixtureRow]:
        """Rows without those that lack a part; with ``corpus.skip_bad`` only."""
        faults = [row.fault for row in rows if row.fault]
        if not faults:
            return rows
        if not self.conf.corpus.skip_bad or len(faults) == len(rows):
            raise UserError(
                f"{list_lines(faults)}\n{split}: {len(faults)} of {len(rows)} mixtures cannot be "
                "used; make them whole, or leave them out with --set corpus.skip_bad=true."
            )
        logger.warning(
            "%s: %d of %d mixtures are left out (corpus.skip_bad): %s",
            split,
            len(faults),
            len(rows),
            list_first(faults, joined_by="; "),
        )
        return [row for row in rows if not row.fault]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names and sizes of what the first stages read; of audio that exists the names."""
        if self.origin == "existing":
            return _hash_lists(self.existing)
        listing = fingerprint_recordings(self.recordings, self.speech_root)
        lists = _hash_lists(self.published) if self.origin == "published" else ""
        noise = str(self.noise_root) if self.noisy else ""
        return hash_value([self.origin, listing, lists, noise])


def _hash_lists(lists: dict[str, list[MixtureRow]]) -> str:
    """Fingerprint of the text of mixture lists by split."""
    return hash_value({split: [row.columns for row in rows] for split, rows in lists.items()})
