"""The device: one sentence where driver, build and card do not fit, on pretended GPUs."""

import warnings

import pytest
import torch

from separation import device as device_module
from separation.__main__ import main
from separation.device import choose_device, find_cuda_obstacle, is_broken
from separation.errors import UserError

NO_KERNEL = (
    "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors"
)
OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU "
    "driver by downloading and installing a new version."
)
TOO_OLD = ["CUDA 13.0", "580 or later", "driver is 535.129.03", "too old", "==2.13.0+cu126"]


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A V100 with an old driver, which fails as it is told to."""
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX Module  535.129.03  Thu Oct 19")
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(device_module, "NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(device_module, "NVIDIA_DEVICE", tmp_path / "nvidia0")
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    caches = (find_cuda_obstacle, device_module._warn_once)
    for cache in caches:
        cache.cache_clear()

    def fail(error: str = "", warning: str = "") -> list[torch.device]:
        used = []

        def is_available() -> bool:
            if warning:
                warnings.warn(warning, stacklevel=1)
            return not warning

        def zeros(size, device):
            used.append(device)
            if error:
                raise RuntimeError(error)
            return torch.ones(size)

        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch, "zeros", zeros)
        return used

    yield fail
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (
            {"error": NO_KERNEL},
            ["Tesla V100", "7.0", "sm_75, sm_80", "==2.13.0+cu126", "CUDA 13.0"],
        ),
        ({"error": OLD_DRIVER}, TOO_OLD),  # after Lightning's import, which asks NVML
        ({"warning": f"CUDA initialization: {OLD_DRIVER}"}, TOO_OLD),  # before it
        ({"error": "CUDA error: all CUDA-capable devices are busy"}, ["are busy", "nvidia-smi"]),
    ],
)
def test_what_does_not_fit_is_one_sentence(failure, named, gpu, caplog):
    """Bug: training died with a traceback where comparing quietly took the CPU."""
    gpu(**failure)
    with pytest.raises(UserError, match=r"--device cuda: .*; or use --device cpu\.$") as refused:
        choose_device("cuda")
    for words in named:
        assert words in str(refused.value)
    assert "\n" not in str(refused.value) and not caplog.text
    assert choose_device("auto") == choose_device("auto") == torch.device("cpu")
    assert caplog.text.count("running on the CPU") == 1 and named[0] in caplog.text


def test_a_gpu_that_computes_is_taken(gpu, monkeypatch, caplog):
    monkeypatch.setenv("LOCAL_RANK", "1")
    used = gpu()
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert used == [torch.device("cuda", 1)]  # its own, once
    assert choose_device("cpu") == torch.device("cpu") and not caplog.text


def test_without_a_card_nothing_is_said(gpu, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(device_module, "NVIDIA_DEVICE", tmp_path / "none")
    gpu(error="Found no NVIDIA driver on your system.")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu") and not caplog.text
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    find_cuda_obstacle.cache_clear()
    with pytest.raises(UserError, match="a build without CUDA; install the one of PyPI"):
        choose_device("cuda")


def test_exit_code_and_sentence_of_a_command(gpu, capsys, tmp_path):
    gpu(error=NO_KERNEL)
    wav = tmp_path / "a.wav"
    wav.touch()
    words = ["separate", str(wav), "--model", "x", "--out", str(tmp_path / "o"), "--device", "cuda"]
    assert main(words) == 2
    assert "Tesla V100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), False),
        (RuntimeError("Kernel size can't be greater than actual input size"), False),
    ],
)
def test_errors_after_which_a_gpu_is_lost(error, broken):
    assert is_broken(error) == broken
