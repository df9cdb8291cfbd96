"""From the options of one call to an :class:`~separation.experiment.experiment.Experiment`."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.corpora.plugin import check_conf_names, refuse_reading
from separation.environment import ROOT
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.inputs import Origin, find_origin, hold_noise
from separation.experiment.roots import CorpusRoots, check_roots, read_roots
from separation.options import LOCAL, Cluster, check_tag, parse_override

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
    cluster: Cluster = LOCAL,
) -> Experiment:
    """Resolve the options of one call into an :class:`Experiment`.

    Corpus roots come from the config's ``corpus.roots``, then from the environment
    (``SEPARATION_CORPUS_LIBRISPEECH=DIR``), then from ``--corpus``; later ones win.
    ``--corpus speech=DIR`` makes any recipe run on that folder of recordings.

    Args:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        overrides, n_jobs, device, cluster: as :class:`Experiment` has them.
        tag: name of the experiment; a variant's own where it is ``default``.
        corpora: ``NAME=DIR``.
        data, exp: hold a folder for each MIX.

    Raises:
        UserError: an option that cannot be; see also :func:`separation.config.load.load_conf`.
    """
    check_tag(tag)
    conf, given = _resolve(recipe, overrides, corpora)
    origin = find_origin(conf, given)
    _refuse_unused(conf, origin, name_keys(overrides))
    mix, model, *variant = recipe.split("/")
    if variant and tag == "default":
        tag = variant[0]
    path = data / mix / name_data(conf, origin)
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
        cluster=cluster,
        overridden=name_keys(overrides),
        given=(*_list_given(overrides, corpora, {"--data": data, "--exp": exp}, device),),
    )


def _list_given(
    overrides: Sequence[str], corpora: Sequence[str], folders: dict[str, Path], device: str
) -> Iterator[str]:
    """Options as they are typed in the repository root, without those that have their default."""
    for text in corpora:
        name, _, folder = text.partition("=")
        yield from ("--corpus", f"{name}={_shorten(Path(folder))}")
    for option, path in folders.items():
        if path != ROOT / option.removeprefix("--"):
            yield from (option, _shorten(path))
    for text in overrides:
        yield from ("--set", text)
    if device != "auto":
        yield from ("--device", device)


def _shorten(path: Path) -> str:
    """A path in full; from the repository on where it lies there."""
    whole = path.expanduser().resolve()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)


def name_keys(overrides: Sequence[str]) -> tuple[str, ...]:
    """``section.key`` of each override.

    >>> name_keys(["splits.by=subset"])
    ('splits.by',)
    """
    return tuple(".".join(parse_override(text)[:2]) for text in overrides)


def _refuse_unused(conf: Conf, origin: Origin, overridden: Sequence[str]) -> None:
    """Who is tested on is never decided otherwise than the user said.

    Raises:
        UserError: names the key that would have no effect.
    """
    for key in ("speaker_level", "speaker_pattern", "allow_commands", "archive_rate"):
        if f"corpus.{key}" in overridden and (conf.corpus.source, origin) != ("speech", "drawn"):
            refuse_reading(key, getattr(conf.corpus, key), conf.corpus.source)
    by, unseen = conf.splits.by, conf.splits.unseen_speakers
    if origin != "drawn" and "splits.by" in overridden:
        raise UserError(
            f"splits.by={by} divides recordings, but here the mixtures are {origin} ones, whose "
            "splits are given: leave it out, or draw mixtures with --set metadata.draw=true."
        )
    if unseen and "splits.unseen_speakers" in overridden and (origin, by) != ("drawn", "prompts"):
        raise UserError(
            f"splits.unseen_speakers={','.join(map(str, unseen))} is for splits.by=prompts, and "
            f"this recipe divides otherwise ({by if origin == 'drawn' else origin}): set "
            "splits.by=prompts too, or name your splits in a table with splits.by=subset."
        )


def _resolve(
    recipe: str, overrides: Sequence[str], corpora: Sequence[str]
) -> tuple[Conf, dict[str, Path]]:
    """The config, and the corpus roots by name."""
    conf = load_conf(ROOT, recipe, [*overrides])
    check_conf_names(conf)
    given = read_roots(conf, [*corpora])
    if "speech" in given and conf.corpus.source != "speech":
        conf = _use_own_speech(conf, name_keys(overrides))
    check_roots(recipe, conf, given)
    _refuse_nothing_to_separate(conf, find_origin(conf, given))
    return conf, given


def _refuse_nothing_to_separate(conf: Conf, origin: Origin) -> None:
    """Raise where mixtures would be their only source; of audio that exists nobody knows yet."""
    if conf.mixtures.n_src == 1 and conf.mixtures.task == "sep_clean" and origin != "existing":
        raise UserError(
            "mixtures.n_src=1 with mixtures.task=sep_clean leaves nothing to separate: set "
            "mixtures.task=sep_noisy and give noise with --corpus wham=DIR or noise=DIR, or "
            "mixtures.n_src=2."
        )


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


def _use_own_speech(conf: Conf, overridden: Sequence[str]) -> Conf:
    """The recipe on someone's own folder: its speakers and lists are not the recipe's.

    What is overridden stays.

    Raises:
        UserError: published lists are asked for, which name another corpus's files.
    """
    if "metadata.draw" in overridden and not conf.metadata.draw:
        raise UserError(
            "metadata.draw=false takes published lists, which name no files of --corpus "
            f"speech=DIR: leave it out, or give --corpus {conf.corpus.source}=DIR."
        )
    if "corpus.source" in overridden:
        raise UserError(
            f"corpus.source={conf.corpus.source} and --corpus speech=DIR name two corpora: leave "
            "one of them out."
        )
    splits = conf.splits
    if "splits.by" not in overridden and splits.by == "subset":
        splits = dataclasses.replace(splits, by="speakers")
    if "splits.unseen_speakers" not in overridden:
        splits = dataclasses.replace(splits, unseen_speakers=[])
    return dataclasses.replace(
        conf,
        corpus=dataclasses.replace(conf.corpus, source="speech"),
        splits=splits,
        metadata=dataclasses.replace(conf.metadata, draw=True),
    )
