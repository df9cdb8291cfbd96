"""Typed recipe configs: conf/default.yml, then the recipe's conf.yml, then --set."""

import contextlib
import dataclasses
import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from separation.errors import MissingInputError, UserError, check_choice
from separation.files import hash_value
from separation.models.config import ModelConf, find_conf_class
from separation.training.config import TrainingConf

METRICS = ("si_sdr", "sdr", "sir", "sar", "stoi", "pesq")  # as separation.evaluation.scoring


@dataclass(frozen=True)
class CorpusConf:
    """Which recordings, and which of them are good enough."""

    source: str  # local/prepare_<source>.py lists the utterances; also the name in --corpus
    roots: list  # NAME=DIR, as --corpus
    channel: str  # mono (refuse stereo) | first | mean
    noise: str  # local/prepare_<noise>.py of sep_noisy: wham | noise (any folder)
    mirror: str  # where stage 0 downloads from, for corpora that have several places
    min_duration_s: float  # shorter recordings are left out
    skip_bad: bool  # leave bad and missing files out in place of stopping

    def __post_init__(self) -> None:
        check_choice("corpus.channel", self.channel, ("mono", "first", "mean"))
        check_choice("corpus.noise", self.noise, ("wham", "noise"))


@dataclass(frozen=True)
class SplitsConf:
    """Who is never heard in training, and how much of the others is held out."""

    by: str  # prompts | speakers | subset
    unseen_speakers: list  # fixed by name; empty: drawn by a keyed hash
    n_unseen: int  # how many to draw where none is named
    dev_share: float
    test_share: float
    n_dev_speakers: int  # by speakers: half women, half men; 0: dev_share of each sex
    n_test_speakers: int
    n_train_speakers: int  # of the training speakers, women and men in turn; 0: all
    n_train_utterances: int  # of each training speaker; 0: all
    seed: int

    def __post_init__(self) -> None:
        check_choice("splits.by", self.by, ("prompts", "speakers", "subset"))
        for name in ("n_dev_speakers", "n_test_speakers"):
            if getattr(self, name) < 0 or getattr(self, name) % 2:
                raise UserError(f"splits.{name}={getattr(self, name)}: half women, half men; even.")
        for name in ("n_train_speakers", "n_train_utterances"):
            if getattr(self, name) < 0:
                raise UserError(f"splits.{name}={getattr(self, name)} should be 0 (all) or more.")
        if not 0 < self.dev_share + self.test_share < 0.8:
            raise UserError("splits.dev_share + splits.test_share must lie between 0 and 0.8.")

    def fixed_splits(self) -> tuple[str, ...]:
        """The splits of fixed mixtures that this kind of division gives."""
        return ("dev", "test_seen", "test_unseen") if self.by == "prompts" else ("dev", "test")


@dataclass(frozen=True)
class MetadataConf:
    """Where the lists of mixtures come from."""

    draw: bool  # draw them by our rules; false: read the published lists
    lists: str  # none | librimix | wsj0mix: local/lists_<name>.py
    train: str  # which published list to train on, such as train-100
    rules: str  # of a draw: teams | librimix

    def __post_init__(self) -> None:
        check_choice("metadata.rules", self.rules, ("teams", "librimix"))
        check_choice("metadata.lists", self.lists, ("none", "librimix", "wsj0mix"))
        if not self.draw and self.lists == "none":
            raise UserError("metadata.draw=false needs published lists: set metadata.lists.")


@dataclass(frozen=True)
class MixturesConf:
    """The fixed mixtures, and the levels of all mixtures."""

    n_src: int
    task: str  # sep_clean | sep_noisy
    mode: str  # min | max
    n_train: int  # of a fixed training list; 0: each utterance once (rules librimix)
    n_dev: int
    n_test: int  # in each of the two test sets
    balance_sexes: bool  # of dev and test: as many same-sex as different-sex mixtures
    min_utterance_s: float  # shorter utterances only serve dynamic mixing
    loudness_min_lufs: float
    loudness_max_lufs: float
    noise_loudness_min_lufs: float
    noise_loudness_max_lufs: float
    peak_max: float  # a mixture above this is scaled down to it
    train_length_s: float  # of the fixed training mixtures; 0: as long as their utterances
    train_level_by: str  # in training: loudness (each its own) | difference (between the sources)
    train_level_difference_min_db: float
    train_level_difference_max_db: float
    seed: int

    def __post_init__(self) -> None:
        check_choice("mixtures.train_level_by", self.train_level_by, ("loudness", "difference"))
        if self.train_level_difference_min_db > self.train_level_difference_max_db:
            raise UserError(
                "mixtures.train_level_difference_min_db is above train_level_difference_max_db."
            )
        if self.train_length_s < 0:
            raise UserError(f"mixtures.train_length_s={self.train_length_s} is below 0.")
        if self.loudness_min_lufs > self.loudness_max_lufs:
            raise UserError("mixtures.loudness_min_lufs is above mixtures.loudness_max_lufs.")
        if self.noise_loudness_min_lufs > self.noise_loudness_max_lufs:
            raise UserError("mixtures.noise_loudness_min_lufs is above noise_loudness_max_lufs.")
        check_choice("mixtures.n_src", self.n_src, (2, 3))
        check_choice("mixtures.task", self.task, ("sep_clean", "sep_noisy"))
        check_choice("mixtures.mode", self.mode, ("min", "max"))


@dataclass(frozen=True)
class AudioConf:
    sample_rate: int  # Hz, of mixtures and model
    exact_pack: bool  # keep a lossless copy of the lists' sources, faster to render from

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate <= 48000:
            raise UserError(f"audio.sample_rate={self.sample_rate} is not within 4000..48000 Hz.")


@dataclass(frozen=True)
class EvaluationConf:
    estimators: list  # of model, mixture, ibm, irm, wfm
    stft_window_s: float  # of the oracle mask
    stft_hop_s: float
    metrics: list  # of METRICS
    sixteen_bit: bool  # also SI-SDR of the estimates as 16-bit files hold them
    check_mixtures: int  # on which the scorer is compared with mir_eval in every run

    def __post_init__(self) -> None:
        for name in self.metrics:
            check_choice("evaluation.metrics", name, METRICS)
        if "si_sdr" not in self.metrics or "sdr" not in self.metrics:
            raise UserError("evaluation.metrics: si_sdr and sdr are always among them.")
        for name in self.estimators:
            check_choice("evaluation.estimators", name, ("mixture", "model", "ibm", "irm", "wfm"))


@dataclass(frozen=True)
class ReportConf:
    title: str


@dataclass(frozen=True)
class Conf:
    corpus: CorpusConf
    splits: SplitsConf
    metadata: MetadataConf
    mixtures: MixturesConf
    audio: AudioConf
    model: ModelConf
    training: TrainingConf
    evaluation: EvaluationConf
    report: ReportConf

    def section(self, *names: str) -> dict[str, Any]:
        """The named sections as plain values."""
        return {name: dataclasses.asdict(getattr(self, name)) for name in names}

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fingerprint(self, *names: str) -> str:
        return hash_value(self.section(*names))


def load_conf(root: Path, recipe: str, overrides: list[str]) -> Conf:
    """Resolve a recipe's config.

    Args:
        root: the repository.
        recipe: ``MIX/MODEL``, a folder under ``egs/``, or ``MIX/MODEL/VARIANT`` for a
            ``VARIANT.yml`` in it, which overrides the folder's ``conf.yml``.
        overrides: ``section.key=value`` strings, later ones win.

    Raises:
        UserError: an unknown key, a value of the wrong type or a contradiction.
        MissingInputError: no such recipe.
    """
    changes = [(str(path), _read_yaml(path)) for path in _find_confs(root / "egs", recipe)]
    changes += [(f"--set {override}", _parse_override(override)) for override in overrides]
    values = _choose_model(_read_yaml(root / "conf" / "default.yml"), changes)
    for origin, sections in changes:
        _merge(values, sections, origin)
    conf = build_conf(values)
    return dataclasses.replace(conf, model=conf.model.scaled(conf.audio.sample_rate))


def _choose_model(
    values: dict[str, Any], changes: list[tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    """The defaults with the ``model`` section of the model that is asked for last."""
    others = values.pop("models")
    name = default = values["model"]["name"]
    for _, sections in changes:
        name = sections.get("model", {}).get("name", name)
    find_conf_class(name)
    return values if name == default else values | {"model": {"name": name} | others[name]}


def list_recipes(root: Path) -> list[str]:
    """All ``MIX/MODEL`` and ``MIX/MODEL/VARIANT``, sorted."""
    files = (root / "egs").glob("*/*/*.yml")
    names = (path.relative_to(root / "egs").with_suffix("").as_posix() for path in files)
    return sorted(name.removesuffix("/conf") for name in names)


def _find_confs(egs: Path, recipe: str) -> list[Path]:
    """The recipe's conf.yml, then its variant's."""
    parts = recipe.split("/")
    paths = [egs.joinpath(*parts[:2], "conf.yml")]
    if len(parts) == 3:
        paths.append(egs.joinpath(*parts[:2], f"{parts[2]}.yml"))
    if len(parts) not in (2, 3) or ".." in parts or not all(path.is_file() for path in paths):
        known = ", ".join(list_recipes(egs.parent))
        raise MissingInputError(f"--recipe {recipe}: no {paths[-1]}; there are: {known}.")
    return paths


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not all(isinstance(section, dict) for section in values.values()):
        raise UserError(f"{path}: every entry must be a section of key: value lines.")
    return values


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    section, dot, name = key.partition(".")
    if not equals or not dot:
        raise UserError(f"--set {override}: write it as section.key=value.")
    return {section: {name: yaml.safe_load(text)}}


def _merge(values: dict[str, Any], changes: dict[str, Any], origin: str) -> None:
    for section, keys in changes.items():
        _known(section, list(values), origin, "")
        for key, value in keys.items():
            _known(key, list(values[section]), _of_model(origin, section, values), f"{section}.")
            values[section][key] = _convert(f"{section}.{key}", value, values[section][key], origin)


def _of_model(origin: str, section: str, values: dict[str, Any]) -> str:
    """The origin, and for the model's keys the model, which decides what is known."""
    return f"{origin} ({values['model']['name']})" if section == "model" else origin


def _known(name: str, known: list[str], origin: str, prefix: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}."
    raise UserError(f"{origin}: unknown key {prefix}{name}; {hint}")


def _convert(key: str, value: Any, default: Any, origin: str) -> Any:
    """``value`` in the type of the default, which conf/default.yml fixes."""
    kind = type(default)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is str and isinstance(value, bool):  # YAML 1.1 reads on and off as booleans
        value = "on" if value else "off"
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise UserError(f"{origin}: {key}={value!r} should be a {kind.__name__}, as {default!r}.")
    return value


def build_conf(values: dict[str, Any]) -> Conf:
    """A :class:`Conf` from plain values, as a saved conf.yml holds them."""
    sections = {}
    for field in dataclasses.fields(Conf):
        try:
            section, kind = values[field.name], field.type
            if field.name == "model":
                kind = find_conf_class(section["name"])
            sections[field.name] = kind(**section)  # type: ignore[operator]
        except (KeyError, TypeError) as error:
            raise UserError(f"the config's section {field.name} does not fit: {error}.") from error
    return Conf(**sections)


def list_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """``section.key: old -> new`` for every value that differs."""
    return [
        f"{section}.{key}: {old.get(section, {}).get(key)} -> {value}"
        for section, keys in new.items()
        for key, value in keys.items()
        if old.get(section, {}).get(key) != value
    ]
