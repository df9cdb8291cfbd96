"""Exported files give what the network gives, at lengths that it was not traced at."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation.__main__ import main
from separation.errors import UserError
from separation.models.checkpoint.load import open_model
from separation.models.exported import OnnxModel, export_model, make_noise
from separation.models.shipped import MODEL
from separation.training.module import load_initial_weights
from tests.support.small_models import NAMES, build_small

LENGTHS = (8000, 11111, 24013)


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_equals_the_network(name: str, tmp_path: Path) -> None:
    model, path = build_small(name).eval(), tmp_path / "model.ts"
    assert export_model(model, 8000, path, "torchscript") <= 1e-4
    script = torch.jit.load(path)
    for n_samples in LENGTHS:
        mixture = 0.1 * torch.randn(1, n_samples)
        with torch.no_grad():
            torch.testing.assert_close(script(mixture), model(mixture), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_equals_the_network(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, path = build_small(name).eval(), tmp_path / "model.onnx"
    assert export_model(model, 8000, path, "onnx") <= 1e-4
    loaded = open_model(str(path))
    assert (loaded.sample_rate, loaded.n_src) == (8000, 2)
    for n_samples in LENGTHS:
        mixture = 0.1 * torch.randn(2, n_samples)
        with torch.no_grad():
            expected = model(mixture)
            torch.testing.assert_close(loaded.model(mixture), expected, rtol=0, atol=1e-5)


def test_an_operation_that_onnx_has_not_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    class Transforms(torch.nn.Module):
        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            spectrum = torch.linalg.eigvals(mixture[:, :4, None] * mixture[:, None, :4])
            return torch.stack([mixture, mixture * spectrum.real.sum()], 1)

    path = tmp_path / "model.onnx"
    with pytest.raises(UserError, match="--format torchscript"):
        export_model(Transforms(), 8000, path, "onnx")
    assert not path.exists()


def test_a_file_that_differs_is_not_kept(tmp_path: Path) -> None:
    """A network that computes of its length in plain Python."""

    class Fades(torch.nn.Module):
        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            return torch.stack([mixture, mixture * float(mixture.shape[-1])], 1)

    path = tmp_path / "model.ts"
    with pytest.raises(UserError, match="was not kept"):
        export_model(Fades(), 8000, path, "torchscript")
    assert not path.exists()


def test_the_command_and_what_takes_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "shipped"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("shipped.onnx: mixture (1, time) at 8000 Hz")
    assert "separate RECORDING --model shipped.onnx" in printed
    soundfile.write("call.wav", make_noise(16000)[0].numpy(), 8000, subtype="FLOAT")
    outs = {}
    for model in ("shipped.onnx", "shipped"):
        out = tmp_path / model.replace(".", "_")
        assert (
            main(["separate", "call.wav", "--model", model, "--out", str(out), "--bits", "float"])
            == 0
        )
        outs[model] = [soundfile.read(path)[0] for path in sorted(out.glob("*.wav"))]
    for ours, theirs in zip(*outs.values(), strict=True):
        # the network itself may run in bfloat16 here
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.02 * np.abs(theirs).max())
    with pytest.raises(UserError, match="cannot be trained on; give the checkpoint"):
        load_initial_weights(build_small("ConvTasNet"), "shipped.onnx", 8000)


def test_wrong_files_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    soundfile.write("call.wav", make_noise(16000)[0].numpy(), 8000)
    shutil.copy(MODEL, "renamed.onnx")
    assert main(["separate", "call.wav", "--model", "renamed.onnx"]) == 2
    assert "onnxruntime cannot read it" in capsys.readouterr().err
    export_model(build_small("ConvTasNet").eval(), 8000, Path("model.ts"), "torchscript")
    assert main(["separate", "call.wav", "--model", "model.ts"]) == 2
    assert "TorchScript" in capsys.readouterr().err


def test_an_onnx_file_of_another_program_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    export_model(build_small("STFTMask").eval(), 8000, path, "onnx")
    package = onnx.load(str(path))
    del package.metadata_props[:]
    onnx.save(package, str(path))
    with pytest.raises(UserError, match="states no sample_rate and n_src"):
        OnnxModel(path)
