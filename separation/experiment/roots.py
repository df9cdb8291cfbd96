"""Where corpora lie: given with ``--corpus``, by the environment, by the config, or downloaded."""

import os
from dataclasses import dataclass
from pathlib import Path

from separation.config.schema import Conf
from separation.corpora.plugin import read_info
from separation.errors import UserError
from separation.options import parse_corpus
from separation.text import suggest_nearest

EXISTING = ("train", "dev", "test")  # --corpus train=DIR: mixtures that exist as audio
ENVIRONMENT_PREFIX = "SEPARATION_CORPUS_"


@dataclass(frozen=True, kw_only=True)
class CorpusRoots:
    """The root folder of each corpus that an experiment reads.

    Attributes:
        given: by name, by the user.
        shared: stage 0 downloads into it the corpora that serve all recipes.
        data: the data folder, for those that serve one data set.
    """

    given: dict[str, Path]
    shared: Path
    data: Path

    def find(self, name: str) -> Path:
        """The folder that was given, or the one that stage 0 downloads."""
        if name in self.given:
            return self.given[name]
        return self.find_download(name) / read_info(name).folder

    def find_download(self, name: str) -> Path:
        """What stage 0 downloads a corpus into."""
        return self.shared if read_info(name).is_shared else self.data


def read_roots(conf: Conf, options: list[str]) -> dict[str, Path]:
    """Corpus roots by name, of the config, the environment and ``--corpus``; later ones win."""
    exported = [
        f"{name.removeprefix(ENVIRONMENT_PREFIX).lower()}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(ENVIRONMENT_PREFIX) and value
    ]
    read_here = {conf.corpus.source, conf.metadata.lists, conf.corpus.noise} - {"speech"}
    ambient = [text for text in exported if text.split("=")[0] in read_here]
    return dict(parse_corpus(str(text)) for text in [*conf.corpus.roots, *ambient, *options])


def check_roots(recipe: str, conf: Conf, roots: dict[str, Path]) -> None:
    """Refuse a corpus that the recipe does not read, and own recordings that were not given.

    Raises:
        UserError: names the corpora that the recipe reads.
    """
    known = {"speech", conf.corpus.source, conf.metadata.lists, conf.corpus.noise}
    known |= {"mixtures", *EXISTING}
    unknown = sorted(set(roots) - known)
    if unknown:
        names = sorted(known - {"none"})
        raise UserError(
            f"--corpus {unknown[0]}=...: {suggest_nearest(unknown[0], names)}this recipe reads "
            f"{', '.join(names)}."
        )
    if conf.corpus.source == "speech" and not {"speech", "mixtures", *EXISTING} & set(roots):
        raise UserError(
            f"{recipe} needs --corpus speech=DIR, a folder with one sub-folder a speaker."
        )
