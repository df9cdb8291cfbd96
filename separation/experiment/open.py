"""From the options of one call to an :class:`separation.experiment.experiment.Experiment`."""

import dataclasses
import os
from pathlib import Path

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.corpora.plugin import check_conf_names
from separation.environment import ROOT
from separation.errors import UserError
from separation.experiment.experiment import EXISTING, Experiment
from separation.text import suggest_nearest

DATA_SECTIONS = ("corpus", "splits", "metadata", "mixtures")
ENVIRONMENT_PREFIX = "SEPARATION_CORPUS_"


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

    Corpus roots come from the config's ``corpus.roots``, then from the environment
    (``SEPARATION_CORPUS_LIBRISPEECH=DIR``), then from ``--corpus``; later ones win.
    ``--corpus speech=DIR`` makes any recipe run on that folder of recordings.
    """
    conf = load_conf(ROOT, recipe, overrides)
    check_conf_names(conf)
    roots = read_roots(conf, corpora or [])
    if "speech" in roots and conf.corpus.source != "speech":
        conf = _use_own_speech(conf)
    _check_roots(recipe, conf, roots)
    mix, model, *variant = recipe.split("/")
    if variant and tag == "default":
        tag = variant[0]
    experiment = Experiment(
        *(recipe, conf, data / mix, exp / mix / model / tag, roots),
        *(data / "corpora", n_jobs, device, data / mix),
    )
    experiment.data /= name_data(experiment)
    if variant and has_own_data(recipe):
        experiment.data /= variant[0]
    return experiment


def has_own_data(recipe: str) -> bool:
    """Whether a variant's YAML asks for other mixtures than its recipe's conf.yml."""
    own, common = (load_conf(ROOT, name, []) for name in (recipe, recipe.rpartition("/")[0]))
    return own.section(*DATA_SECTIONS) != common.section(*DATA_SECTIONS)


def name_data(experiment: Experiment) -> str:
    """Folder that keeps apart what different kinds of mixtures of one data set need."""
    n_src, metadata = experiment.conf.mixtures.n_src, experiment.conf.metadata
    noisy = "-noisy" if experiment.noisy else ""
    if experiment.origin == "published":
        return f"{metadata.train}-{n_src}spk{noisy}"
    kind = {"existing": "existing", "drawn": "drawn"}[experiment.origin]
    plain = kind == "drawn" and metadata.lists == "none" and n_src == 2 and not noisy
    return "" if plain else f"{kind}-{n_src}spk{noisy}"


def read_roots(conf: Conf, options: list[str]) -> dict[str, Path]:
    """Corpus roots by name, of the config, the environment and ``--corpus``."""
    found = [
        f"{name.removeprefix(ENVIRONMENT_PREFIX).lower()}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(ENVIRONMENT_PREFIX) and value
    ]
    mine = {"speech", conf.corpus.source, conf.metadata.lists, conf.corpus.noise}
    ambient = [text for text in found if text.split("=")[0] in mine - {"speech"}]
    return dict(parse_corpus(str(text)) for text in [*conf.corpus.roots, *ambient, *options])


def _use_own_speech(conf: Conf) -> Conf:
    """The recipe on someone's own folder: its speakers and lists are not the recipe's."""
    by = "speakers" if conf.splits.by == "subset" else conf.splits.by
    return dataclasses.replace(
        conf,
        corpus=dataclasses.replace(conf.corpus, source="speech"),
        splits=dataclasses.replace(conf.splits, unseen_speakers=[], by=by),
        metadata=dataclasses.replace(conf.metadata, draw=True),
    )


def _check_roots(recipe: str, conf: Conf, roots: dict[str, Path]) -> None:
    known = {"speech", conf.corpus.source, conf.metadata.lists, "mixtures", *EXISTING}
    known.add(conf.corpus.noise)
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


def parse_corpus(text: str) -> tuple[str, Path]:
    """``NAME=DIR`` of a ``--corpus`` option."""
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise UserError(f"--corpus {text}: write it as NAME=DIR.")
    return name, Path(folder).expanduser().resolve()
