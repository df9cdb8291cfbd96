"""A model as one file that runs without this package: TorchScript, or ONNX for onnxruntime.

Both are traced: the operations of one example are recorded, with the number of samples as a
variable. What a network computes of its length in plain Python would stay as it was in the example,
so :func:`export_model` compares the file with the network at other lengths before it is kept.
"""

import contextlib
import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from separation.errors import UserError
from separation.files import write_whole
from separation.models.traceable import follow_length

Format = Literal["onnx", "torchscript"]
TOLERANCE = 1e-4  # of the largest output
CHECKED_S = (0.5, 1.237, 3.001)  # the lengths at which a file is compared with its network
EXAMPLE_S = 2.0
OPSET = 18
SUFFIX = ".onnx"
MAX_SRC = 64  # more voices than that no file of ours has


class _WholeFrames(nn.Module):
    """Pads to a whole number of frames where a network does it in plain Python (SuDoRM-RF)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.n_frame = model, find_frame(model)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """``(1, time)`` to ``(1, n_src, time)``."""
        n_samples = mixture.shape[-1]
        missing = (self.n_frame - n_samples % self.n_frame) % self.n_frame
        return self.model(functional.pad(mixture, (0, missing)))[..., :n_samples]


def find_frame(model: nn.Module) -> int:
    """Samples that the network pads a mixture to a multiple of, in plain Python; 1: none."""
    return int(getattr(getattr(model, "encoder", None), "lcm", 1))


def trace_model(model: nn.Module, sample_rate: int) -> torch.jit.ScriptModule:
    """The network as TorchScript.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)`` in evaluation mode, on the CPU.
        sample_rate: Hz.

    Returns:
        ``(1, time) -> (1, n_src, time)`` for any length above the encoder's window.
    """
    traced, example = _prepare(model, sample_rate)
    with _quietly(), torch.no_grad():
        return torch.jit.trace(traced, example, check_trace=False)


def _prepare(model: nn.Module, sample_rate: int) -> tuple[nn.Module, torch.Tensor]:
    n_frame = find_frame(model)
    n_samples = round(EXAMPLE_S * sample_rate) // n_frame * n_frame
    return (_WholeFrames(model) if n_frame > 1 else model), make_noise(n_samples)


def make_noise(n_samples: int) -> torch.Tensor:
    """The same noise ``(1, n_samples)`` in every process."""
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(0))


def export_model(model: nn.Module, sample_rate: int, path: Path, form: Format) -> float:
    """Write the network to a file that is whole, and equal to it, or absent.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)`` in evaluation mode, on the CPU.
        sample_rate: Hz; the file states it.
        path: of the file.
        form: ``onnx`` or ``torchscript``.

    Returns:
        the largest difference to the network, over :data:`CHECKED_S`, as a share of the largest
        output.

    Raises:
        UserError: packages are missing, the network has operations that the format has not, or
            the file's outputs differ.
    """
    find_packages(form)
    with write_whole(path) as partial:
        if form == "onnx":
            _write_onnx(model, sample_rate, partial)
        else:
            extra = {"sample_rate": str(sample_rate)}
            torch.jit.save(trace_model(model, sample_rate), partial, _extra_files=extra)
        return _compare(model, sample_rate, partial, form)


def find_packages(form: Format) -> None:
    """Refuse what cannot be written or run here; raises :class:`UserError`."""
    for package in ("onnx", "onnxruntime") if form == "onnx" else ():
        _import(package)


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"ONNX files need {package}, which is not installed: "
            f"`{sys.executable} -m pip install onnx onnxruntime`."
        ) from error


def _write_onnx(model: nn.Module, sample_rate: int, path: Path) -> None:
    onnx = _import("onnx")
    traced, example = _prepare(model, sample_rate)
    with _quietly(), follow_length(), torch.no_grad():
        n_src = model(example).shape[1]
        try:
            torch.onnx.export(
                traced,
                (example,),
                str(path),
                input_names=["mixture"],
                output_names=["estimates"],
                dynamic_axes={"mixture": {1: "time"}, "estimates": {2: "time"}},
                opset_version=OPSET,
                dynamo=False,  # the newer way does not take Asteroid's norms (torch 2.13)
            )
        except (RuntimeError, TypeError) as error:
            raise _refuse(model, "onnx") from error
    package = onnx.load(str(path))
    for key, value in {"sample_rate": sample_rate, "n_src": n_src}.items():
        package.metadata_props.add(key=key, value=str(value))
    onnx.save(package, str(path))


def _refuse(model: nn.Module, form: Format) -> UserError:
    other = "torchscript" if form == "onnx" else "onnx"
    return UserError(
        f"{type(model).__name__} has operations that {form} does not keep for every length; use "
        f"--format {other}."
    )


def _compare(model: nn.Module, sample_rate: int, path: Path, form: Format) -> float:
    """The largest difference of file and network; raises :class:`UserError` above TOLERANCE."""
    run = OnnxModel(path) if form == "onnx" else torch.jit.load(path)
    largest = 0.0
    for seconds in CHECKED_S:
        mixture = make_noise(round(seconds * sample_rate))
        with torch.no_grad():
            expected = model(mixture)
            try:
                got = run(mixture)
            except Exception as error:  # onnxruntime has exceptions of its own
                raise _refuse(model, form) from error
        if got.shape != expected.shape:
            raise _refuse(model, form)
        largest = max(largest, float((got - expected).abs().max() / expected.abs().max()))
    if not largest <= TOLERANCE:
        raise UserError(
            f"the {form} file's outputs differ from the model's by {largest:.1e} of the largest, "
            f"more than {TOLERANCE:.0e}; it was not kept."
        )
    return largest


class OnnxModel(nn.Module):
    """An ONNX file of :func:`export_model` as a module; onnxruntime computes on the CPU.

    Attributes:
        sample_rate: Hz.
        n_src: number of voices.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        """Raises :class:`UserError` where the file is not such a one."""
        super().__init__()
        runtime = _import("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # of a wrong file, the sentence below
        try:
            session = runtime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever onnxruntime makes of wrong bytes
            raise UserError(
                f"{name or path}: onnxruntime cannot read it; export it anew."
            ) from error
        self._run: Callable[..., Any] = session.run
        stated = session.get_modelmeta().custom_metadata_map
        self.sample_rate, self.n_src = _read_stated(stated, [i.name for i in session.get_inputs()])
        if not self.sample_rate or not self.n_src:
            raise UserError(
                f"{name or path}: is no separation model that the command export wrote: "
                "it states no sample_rate and n_src; export the checkpoint."
            )

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` float32 to ``(batch, n_src, time)`` on the same device."""
        rows = mixture.detach().float().cpu().numpy()
        outputs = [self._run(None, {"mixture": row[None]})[0] for row in rows]
        return torch.cat([torch.from_numpy(own) for own in outputs]).to(mixture.device)


def _read_stated(stated: dict[str, str], inputs: list[str]) -> tuple[int, int]:
    """Rate and number of voices; zeros where they are not stated, or not within bounds."""
    rate, n_src = (stated.get(key, "") for key in ("sample_rate", "n_src"))
    if inputs != ["mixture"] or not (rate.isdecimal() and n_src.isdecimal()):
        return 0, 0
    is_possible = 1000 <= int(rate) <= 192000 and int(n_src) <= MAX_SRC
    return (int(rate), int(n_src)) if is_possible else (0, 0)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the tracer's remarks on every Python number: :func:`_compare` decides."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            log.setLevel(level)
