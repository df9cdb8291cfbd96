"""What a checkpoint holds -> a model: Asteroid's packages, Lightning's files, bare weights."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separation.errors import UserError
from separation.models.asteroid import describe_model
from separation.models.checkpoint.limits import check_arguments, estimate_size
from separation.models.registry import find_conf_class, rebuild_model
from separation.text import explain_error
from separation.yaml_files import read_yaml

# Where other people's trainings keep the weights, beside optimiser and epoch.
WEIGHT_KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network"),
    *("generator", "weights", "params"),
)
LARGEST_WEIGHT = 1e15
LARGE_MODEL = 1e9  # numbers, by a rough estimate
TRIED_SAMPLES = 16000  # of noise, for a module that says nothing of its outputs
ASTEROID_KEYS = ("model_name", "model_args", "state_dict")
# Asteroid's config of a training does not name its model: these are tried in turn.
ASTEROID_MODELS = ("ConvTasNet", "DPRNNTasNet", "DPTNet", "LSTMTasNet")
CONF_LEVELS = 3  # folders upwards from a .ckpt in which its conf.yml is looked for


@dataclass(kw_only=True)
class Package:
    """What a model is made of.

    Attributes:
        names: classes it may be of; the first whose weights fit is taken.
        arguments: of that class.
        weights: tensors by name.
        training: config of the training, where the file has it; section -> key -> value.
        notes: sentences for a report.
        module: a pickled module that is taken as it is; None: it is made of the rest.
    """

    names: tuple[str, ...]
    arguments: dict[str, Any]
    weights: dict[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    module: nn.Module | None = None


def make_package(content: Any, path: Path, name: str) -> Package:
    """Tell what kind of checkpoint was read, and find its architecture.

    Args:
        content: what :func:`separation.models.checkpoint.unpickle.read_file` gave.
        path: the file; a conf.yml is looked for beside it where it needs one.
        name: what the user calls it, for the sentences.

    Raises:
        UserError: not a model's, or nothing says which architecture it has.
    """
    content = _open_module(content)
    if isinstance(content, nn.Module):  # of a file that was unpickled freely
        return _describe_module(content, path, name)
    if not isinstance(content, dict):
        raise _refuse(name, f"it holds a {type(content).__name__}")
    if "model_name" in content or "model_args" in content:
        return _read_asteroid(content, name)
    weights = next((content[key] for key in WEIGHT_KEYS if _are_weights(content.get(key))), content)
    if not _are_weights(weights):
        raise _refuse(name, f"it holds {', '.join(map(str, list(content)[:4])) or 'nothing'}")
    weights = _unwrap(weights)
    of_model = {
        key.removeprefix("model."): value
        for key, value in weights.items()
        if key.startswith("model.")  # of Lightning's files; the others are the loss's
    }
    config, where = _find_config(content, path, name)
    note = ""
    if "step" in content or "global_step" in content:
        step = content.get("step", content.get("global_step"))
        note = f"weights as they were after training step {step}, which need not be the best ones"
    notes = tuple(text for text in (note, where) if text)
    names, arguments = _read_config(config, name)
    return Package(
        names=names,
        arguments=arguments,
        weights=of_model or weights,
        training=config,
        notes=notes,
    )


def _open_module(content: Any) -> Any:
    """The module that a file is or holds under a usual key, without wrappers; else the content."""
    held = [content.get(key) for key in WEIGHT_KEYS] if isinstance(content, dict) else [content]
    module = next((value for value in held if isinstance(value, nn.Module)), content)
    while isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    return getattr(module, "_orig_mod", module)  # of torch.compile


def _describe_module(module: nn.Module, path: Path, name: str) -> Package:
    """A pickled module: made anew where it is Asteroid's, else taken as it is.

    Raises:
        UserError: it gives no ``(batch, n_src, time)``.
    """
    if hasattr(module, "get_model_args"):
        class_name, arguments = describe_model(module)
        weights = module.state_dict()
        return Package(names=(class_name,), arguments=dict(arguments), weights=weights)
    try:
        with torch.inference_mode():
            shape = tuple(module.float().eval()(torch.randn(1, TRIED_SAMPLES)).shape)
    except Exception as error:  # whatever someone's own code raises
        raise _refuse(name, f"its {type(module).__name__}: {explain_error(error)}") from error
    if len(shape) != 3 or shape[0] != 1 or shape[2] != TRIED_SAMPLES:
        tried = f"(1, {TRIED_SAMPLES}) to (1, n_src, {TRIED_SAMPLES})"
        raise _refuse(name, f"its {type(module).__name__} should take {tried} and gives {shape}")
    folders = list(path.absolute().parents)[:CONF_LEVELS]
    conf = next((own for own in (p / "conf.yml" for p in folders) if own.is_file()), None)
    rate = getattr(module, "sample_rate", None)
    return Package(
        names=(type(module).__name__,),
        arguments={"n_src": shape[1], "sample_rate": rate},
        weights={},
        training=_read_conf(conf) if conf else {},
        notes=(f"a pickled {type(module).__name__}, run as its file has it",),
        module=module,
    )


def _refuse(name: str, reason: str) -> UserError:
    return UserError(
        f"{name}: is not a checkpoint in Asteroid's format ({reason}); give a best_model.pth of "
        "stage 4, a Lightning .ckpt, or a published model."
    )


def _are_weights(value: Any) -> bool:
    """Asteroid's System keeps its loss beside the model, whose state may be empty."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(part, torch.Tensor) for part in value.values())
        and all(isinstance(key, str) for key in value)
        and any("." in key for key in value)
    )


def _unwrap(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without what torch.compile, DataParallel and DDP put before them.

    Where two would become one, they are left as they are, and refused as unknown.
    """
    plain = {_strip_wrappers(key): value for key, value in weights.items()}
    return plain if len(plain) == len(weights) else weights


def _strip_wrappers(key: str) -> str:
    """One name of a weight.

    >>> _strip_wrappers("module._orig_mod.masker._orig_mod.TCN.0.weight")
    'masker.TCN.0.weight'
    """
    key = re.sub(r"(^|\.)(?:_orig_mod\.)+", r"\1", key)
    return re.sub(r"^(model\.)?(?:module\.)+", r"\1", key)


def _read_asteroid(content: dict[str, Any], name: str) -> Package:
    missing = [key for key in ASTEROID_KEYS if key not in content]
    if missing:
        raise _refuse(name, f"it has no {' and no '.join(missing)}")
    infos = content.get("infos") or {}
    training = infos.get("training_config") if isinstance(infos, dict) else {}
    arguments, weights = content["model_args"], content["state_dict"]
    if not isinstance(arguments, dict) or not _are_weights(weights):
        raise _refuse(name, "its model_args or state_dict is of another kind")
    training = training if isinstance(training, dict) else {}
    return Package(
        names=(str(content["model_name"]),),
        arguments=dict(arguments),
        weights=_unwrap(weights),
        training=training,
    )


def _find_config(content: dict[str, Any], path: Path, name: str) -> tuple[dict[str, Any], str]:
    """The training's config, and a sentence on where it was found."""
    config = content.get("training_config")
    if isinstance(config, dict) and config:
        return config, ""
    folders = list(path.absolute().parents)[:CONF_LEVELS]
    for candidate in (folder / "conf.yml" for folder in folders):
        if candidate.is_file():
            return _read_conf(candidate), f"architecture read from {candidate}"
    raise UserError(
        f"{name}: holds weights but does not say of which architecture, and no conf.yml lies "
        f"beside {path.name} or above it; put the training's conf.yml there, or give "
        "best_model.pth."
    )


def _read_conf(path: Path) -> dict[str, Any]:
    try:
        config = read_yaml(path, typed=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its rights.") from error
    return config if isinstance(config, dict) else {}


def _read_config(config: dict[str, Any], name: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names and arguments from a config of ours, or of Asteroid's recipes."""
    try:
        if "model" in config and "audio" in config:
            section, rate = dict(config["model"]), config["audio"]["sample_rate"]
            conf = find_conf_class(section["name"])(**section)
            return (conf.name,), conf.saved_arguments(config["mixtures"]["n_src"], rate)
        data = config.get("data", {})
        common = {key: data[key] for key in ("n_src", "sample_rate") if key in data}
        arguments = common | config["filterbank"] | config["masknet"]
        return ASTEROID_MODELS, {key: value for key, value in arguments.items() if value != "None"}
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"{name}: its config does not say the architecture ({str(error)[:80]}); give "
            "best_model.pth, or a config with a model section, or with filterbank and masknet."
        ) from error


def build_package(package: Package, name: str) -> nn.Module:
    """The model in eval mode, with its weights.

    Raises:
        UserError: a class that Asteroid does not have, arguments that it does not take, or
            weights of other names or shapes.
    """
    if package.module is not None:
        return package.module.eval()
    check_arguments(package.arguments, name)
    faults = []
    for class_name in package.names:
        model, fault = _try_class(class_name, package)
        if model is not None and not (fault := find_misfit(model, package.weights)):
            model.load_state_dict(package.weights)
            return model.eval()
        faults.append(fault)
    raise UserError(
        f"{name}: is not a checkpoint of the model that it states ({faults[0]}); get it again, or "
        "give the code's own version of it."
    )


def _try_class(class_name: str, package: Package) -> tuple[nn.Module | None, str]:
    """The model with random weights, or why there is none."""
    try:
        if misfit := _find_wrong_size(class_name, package):
            return None, misfit
        return rebuild_model(class_name, package.arguments), ""
    except UserError as error:
        return None, str(error).rstrip(".")
    except Exception as error:  # whatever a model's constructor makes of wrong values
        return None, f"{class_name}: {explain_error(error)[:120]}"


def _find_wrong_size(class_name: str, package: Package) -> str:
    """The first weight of another shape than the file's, before memory is taken for any.

    Empty where all fit, where the class cannot be built without memory, and where a glance at the
    arguments says that it is no large one: this takes torch a second.
    """
    if estimate_size(package.arguments) < LARGE_MODEL:
        return ""
    try:
        with torch.device("meta"):
            ours = rebuild_model(class_name, package.arguments).state_dict()
    except Exception:  # it is built again with memory, and the error is raised there
        return ""
    return compare_shapes(ours, package.weights, class_name)


def compare_shapes(
    ours: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], kind: str
) -> str:
    """The first weight that is absent or has another shape; empty where there is none."""
    for key, value in ours.items():
        if key not in weights:
            return f"it lacks {key}, which a {kind} has"
        if weights[key].shape != value.shape:
            shapes = tuple(weights[key].shape), tuple(value.shape)
            return f"its {key} has the shape {shapes[0]}, not {shapes[1]} as its arguments say"
    return ""


def find_misfit(model: nn.Module, weights: dict[str, torch.Tensor]) -> str:
    """The first weight that is absent, unknown, or cannot be one; empty where all fit."""
    ours = model.state_dict()
    kind = type(model).__name__
    if misfit := compare_shapes(ours, weights, kind):
        return misfit
    for key, value in ours.items():
        if not _are_numbers(weights[key]) or weights[key].is_complex() != value.is_complex():
            return f"its {key} holds NaN, infinite, complex or no numbers"
        if bool((weights[key].abs() > LARGEST_WEIGHT).any()):
            return f"its {key} holds numbers above {LARGEST_WEIGHT:g}, which no training gives"
    spare = [key for key in weights if key not in ours]
    return f"it has {spare[0]}, which a {kind} has not" if spare else ""


def _are_numbers(weight: torch.Tensor) -> bool:
    """Whether a tensor is dense and finite, as weights are."""
    if weight.is_meta or weight.layout != torch.strided:
        return False
    return bool(torch.isfinite(weight).all())
