"""One loader for every checkpoint: own, Hub, Zenodo, URL or a local copy of any of them."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from separation.errors import MissingInputError, UserError
from separation.files import hash_file
from separation.models.checkpoint.build import Package, build_package, make_package
from separation.models.checkpoint.locate import find_checkpoint
from separation.models.checkpoint.unpickle import read_file
from separation.models.exported import SUFFIX, OnnxModel
from separation.models.published import PublishedModel, find_by_path, find_by_sha256

logger = logging.getLogger(__name__)
DEFAULT_RATE = 8000  # Hz, of Asteroid's models where a file states none


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready to separate, and what is known of where it came from.

    Attributes:
        model: ``(batch, time) -> (batch, n_src, time)``, eval mode, on the CPU.
        name: as the user wrote it.
        path: the local file it was read from.
        sha256: of that file, hex.
        sample_rate: Hz, corrected where the file is known to lie.
        n_src: number of speakers.
        notes: sentences for a report.
        published: its entry in the list of published models, if it is one.
    """

    model: nn.Module
    name: str
    path: Path
    sha256: str
    sample_rate: int
    n_src: int
    notes: tuple[str, ...]
    published: PublishedModel | None


def open_model(text: str, *, trust: bool = False) -> LoadedModel:
    """Load the model that ``text`` names; nothing that the file says is run.

    Args:
        text: ``shipped``; a file (Asteroid's ``.pth``, Lightning's ``.ckpt``, an ``.onnx`` of
            ``export``); an experiment folder; a Hub name ``user/name[@revision]``; a name of
            the published list; a URL.
        trust: unpickle freely, for those who know who made the file.

    Raises:
        MissingInputError: neither a path nor a name.
        UserError: it cannot be fetched, is not a model, or is not harmless.
    """
    source = find_checkpoint(text)
    sha256 = hash_file(source.path)
    if source.path.suffix == SUFFIX:
        return _open_onnx(source.path, sha256, text)
    package = make_package(read_file(source.path, text, trust=trust), source.path, text)
    published = source.published or find_by_sha256(sha256) or _find_published(source.path, package)
    rate, note = resolve_sample_rate(package, published)
    package.arguments["sample_rate"] = rate
    model = build_package(package, text)
    if package.module is not None:
        model.sample_rate = rate  # type: ignore[assignment]
    notes = tuple(part for part in (*source.notes, *package.notes, note) if part)
    for sentence in notes:
        logger.info("%s: %s", text, sentence.removeprefix(f"{text}: "))
    return LoadedModel(
        model=model,
        name=text,
        path=source.path,
        sha256=sha256,
        sample_rate=rate,
        n_src=_read_n_src(model, package, text),
        notes=notes,
        published=published,
    )


def _open_onnx(path: Path, sha256: str, text: str) -> LoadedModel:
    """A file of the command ``export``, which onnxruntime runs."""
    model = OnnxModel(path, text)
    return LoadedModel(
        model=model,
        name=text,
        path=path,
        sha256=sha256,
        sample_rate=model.sample_rate,
        n_src=model.n_src,
        notes=("an ONNX file, computed by onnxruntime on the CPU",),
        published=None,
    )


def _find_published(path: Path, package: Package) -> PublishedModel | None:
    """The entry that a local copy is called after.

    Where the published sha256 is known and this file has another, it is not that file; nor is it
    where this project trained it.
    """
    entry = find_by_path(path.absolute())
    if entry is None or entry.sha256 or package.arguments.get("n_src") != entry.n_src:
        return None
    if "mixtures" in package.training:  # a section of our conf.yml, not of Asteroid's
        return None
    return entry


def resolve_sample_rate(package: Package, published: PublishedModel | None) -> tuple[int, str]:
    """The rate that a model was trained at, in Hz, and a sentence where the file lies about it.

    Asteroid's recipes built 16 kHz models without passing the rate on, so the files state the
    default of 8000; the published list, or the training's config in the file, knows better.
    """
    stated = _read_hz(package.arguments.get("sample_rate"))
    trained = next(
        (rate for name in ("data", "audio") if (rate := _read_hz(_get(package.training, name)))), 0
    )
    true = (published.sample_rate if published else 0) or trained or stated or DEFAULT_RATE
    if true == stated:
        return true, ""
    knows = "the list of published models" if published else "the training's config in it"
    if not (published or trained):
        return true, f"the file states no sample rate; {true} Hz is taken, Asteroid's default"
    says = f"{stated} Hz" if stated else "no sample rate"
    return true, f"the file states {says}, {knows} {true} Hz, which is taken"


def _get(training: dict[str, Any], section: str) -> Any:
    found = training.get(section)
    return found.get("sample_rate") if isinstance(found, dict) else None


def _read_hz(value: Any) -> int:
    """A whole rate, or 0 where it is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value < 1e6 else 0


def _read_n_src(model: nn.Module, package: Package, text: str) -> int:
    stated = package.arguments.get("n_src", getattr(getattr(model, "masker", None), "n_src", 0))
    if not isinstance(stated, int) or stated < 1:
        raise UserError(
            f"{text}: is a {type(model).__name__}, which does not separate speakers; give a model "
            "such as ConvTasNet."
        )
    return stated


def load_model(path: Path) -> nn.Module:
    """:func:`open_model` for a path, never a name: the model alone.

    Raises:
        MissingInputError: no such file.
        UserError: not a checkpoint.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: no such checkpoint; train one or check the path.")
    return open_model(str(path)).model
