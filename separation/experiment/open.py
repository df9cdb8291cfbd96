"""From the options of one call to an :class:`~separation.experiment.experiment.Experiment`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.corpora.plugin import check_conf_names
from separation.environment import ROOT
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.inputs import Origin, find_origin, hold_noise
from separation.experiment.roots import CorpusRoots, check_roots, read_roots
from separation.options import check_tag

DATA_SECTIONS = ("corpus", "splits", "metadata", "mixtures")


def open_experiment(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    tag: str = "default",
    corpora: Sequence[str] = (),
    data: Path = ROOT / "data",
    exp: Path = ROOT / "exp",
    n_jobs: int = 2,
    device: str = "auto",
) -> Experiment:
    """Resolve the options of one call into an :class:`Experiment`.

    Corpus roots come from the config's ``corpus.roots``, then from the environment
    (``SEPARATION_CORPUS_LIBRISPEECH=DIR``), then from ``--corpus``; later ones win.
    ``--corpus speech=DIR`` makes any recipe run on that folder of recordings.

    Args:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        overrides: ``section.key=value``.
        tag: name of the experiment; a variant's own where it is ``default``.
        corpora: ``NAME=DIR``.
        data: holds a folder for each MIX.
        exp: likewise.
        n_jobs: processes.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: an option that cannot be; see also :func:`separation.config.load.load_conf`.
    """
    check_tag(tag)
    conf, given = _resolve(recipe, overrides, corpora)
    mix, model, *variant = recipe.split("/")
    if variant and tag == "default":
        tag = variant[0]
    path = data / mix / name_data(conf, find_origin(conf, given))
    if variant and has_own_data(recipe):
        path /= variant[0]
    return Experiment(
        recipe=recipe,
        conf=conf,
        data=DataFolder(path, shared=data / mix),
        folder=ExperimentFolder(exp / mix / model / tag),
        roots=CorpusRoots(given=given, shared=data / "corpora", data=path),
        n_jobs=n_jobs,
        device=device,
    )


def _resolve(
    recipe: str, overrides: Sequence[str], corpora: Sequence[str]
) -> tuple[Conf, dict[str, Path]]:
    """The config, and the corpus roots by name."""
    conf = load_conf(ROOT, recipe, [*overrides])
    check_conf_names(conf)
    given = read_roots(conf, [*corpora])
    if "speech" in given and conf.corpus.source != "speech":
        conf = _use_own_speech(conf)
    check_roots(recipe, conf, given)
    return conf, given


def has_own_data(recipe: str) -> bool:
    """Whether a variant's YAML asks for other mixtures than its recipe's conf.yml."""
    variant, common = (load_conf(ROOT, name, []) for name in (recipe, recipe.rpartition("/")[0]))
    return variant.section(*DATA_SECTIONS) != common.section(*DATA_SECTIONS)


def name_data(conf: Conf, origin: Origin) -> str:
    """Folder that keeps apart what different kinds of mixtures of one data set need."""
    n_src, metadata = conf.mixtures.n_src, conf.metadata
    noisy = "-noisy" if hold_noise(conf, origin) else ""
    if origin == "published":
        return f"{metadata.train}-{n_src}spk{noisy}"
    plain = origin == "drawn" and metadata.lists == "none" and n_src == 2 and not noisy
    return "" if plain else f"{origin}-{n_src}spk{noisy}"


def _use_own_speech(conf: Conf) -> Conf:
    """The recipe on someone's own folder: its speakers and lists are not the recipe's."""
    by = "speakers" if conf.splits.by == "subset" else conf.splits.by
    return dataclasses.replace(
        conf,
        corpus=dataclasses.replace(conf.corpus, source="speech"),
        splits=dataclasses.replace(conf.splits, unseen_speakers=[], by=by),
        metadata=dataclasses.replace(conf.metadata, draw=True),
    )
