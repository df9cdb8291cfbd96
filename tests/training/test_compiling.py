"""Compilation: what is missing is named, what failed is explained, CUDA graphs are not claimed."""

import logging
import pickle
import sysconfig

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed
from torch._dynamo.utils import counters
from torch._inductor.compile_worker.subproc_pool import SubprocException

from separation.training import compiling
from separation.training.compiling import (
    explain_compile_error,
    find_missing_tool,
    let_bare_split_errors_be_caught,
)
from separation.training.module import GRAPH_RUNS, SeparationModule, make_model
from tests.support.training_case import N_SAMPLES, make_conf

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NO_COMPILER = RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")
OF_WORKER = SubprocException(
    "Traceback (most recent call last):\n"
    '  File "triton/runtime/build.py", line 30, in _build\n'
    "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.\n"
)
OF_GPP = RuntimeError(
    "C++ compile error\n\nCommand:\ng++ main.cpp\n\nOutput:\nmain.cpp:2:10: fatal error: Python.h: "
    "No such file or directory\n    2 | #include <Python.h>\ncompilation terminated.\n"
)


def chain(error: Exception) -> Exception:
    """An error raised from another."""
    outer = RuntimeError("Autotuning failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (NO_COMPILER, "RuntimeError: Failed to find C compiler"),
        (OF_WORKER, "RuntimeError: Failed to find C compiler"),
        (OF_GPP, "main.cpp:2:10: fatal error: Python.h: No such file or directory"),
        (chain(NO_COMPILER), "RuntimeError: Failed to find C compiler"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_what_failed_is_named_not_the_backend(inner, words, monkeypatch, caplog):
    """Bug: the log gave the error's first line, "backend='inductor' raised:"."""
    error = BackendCompilerFailed(lambda: None, inner, None)
    assert explain_compile_error(error).startswith(words)
    caplog.set_level(logging.INFO)
    prepare(monkeypatch, error)
    record = caplog.records[-1]
    assert record.levelno == logging.WARNING
    assert f"training runs eager (slower: {words}" in record.getMessage()


def prepare(monkeypatch, *errors: Exception | None, **changes) -> SeparationModule:
    """A module whose compiled forms raise these, one after the other; None: runs eagerly."""
    waiting = list(errors)

    def compile_model(model, **_):
        error = waiting.pop(0)

        def run(mixtures):
            if error is not None:
                raise error
            return model(mixtures)

        return run

    monkeypatch.setattr(torch, "compile", compile_model)
    monkeypatch.setattr("separation.training.module.find_missing_tool", lambda _: "")
    conf = make_conf(compile="auto", **changes)
    module = SeparationModule(make_model(conf), conf.training)
    module.prepare(N_SAMPLES)
    assert not waiting
    return module


def test_an_error_that_inductor_raises_without_its_arguments_is_caught():
    """Bug of torch 2.11: SepReformer was not compiled on CUDA, for "CantSplit.__init__() missing
    2 required positional arguments"; the error is pickled by Inductor's workers, too."""
    from torch._inductor.codegen.simd import CantSplit

    let_bare_split_errors_be_caught()
    let_bare_split_errors_be_caught()
    with pytest.raises(CantSplit, match="a size not divisible by the ranges"):
        raise CantSplit
    with pytest.raises(CantSplit, match="7 not divisible by 2"):
        raise CantSplit(7, 2)
    assert isinstance(pickle.loads(pickle.dumps(CantSplit(7, 2))), CantSplit)


def test_tools_are_named_with_their_packages(monkeypatch, tmp_path):
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    for name in ("g++", "gcc"):
        (tmp_path / name).touch(mode=0o755)
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(compiling.metadata, "requires", lambda name: ["triton==3.6.0; linux"])
    assert find_missing_tool(CPU) == ""
    assert "Triton" in find_missing_tool(CUDA) and "triton==3.6.0" in find_missing_tool(CUDA)
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: "there")
    assert find_missing_tool(CUDA) == ""
    (tmp_path / "Python.h").unlink()
    for device in (CPU, CUDA):
        assert "Python.h" in find_missing_tool(device)
        assert "apt-get install python3." in find_missing_tool(device)
    monkeypatch.setenv("CC", "icc -O2")
    assert "CC=icc" in find_missing_tool(CUDA)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install gcc" in find_missing_tool(CUDA)
    assert "apt-get install g++" in find_missing_tool(CPU)


def test_asked_for_eager_is_no_warning(caplog):
    conf = make_conf(compile="off")
    with caplog.at_level(logging.INFO):
        SeparationModule(make_model(conf), conf.training).prepare(N_SAMPLES)
    assert caplog.records[-1].levelno == logging.INFO
    assert "eager (training.compile=off)" in caplog.text


@pytest.fixture
def _graphs(monkeypatch):
    monkeypatch.setattr(
        SeparationModule, "_can_use_graphs", lambda self: self.conf.cuda_graphs == "on"
    )


@pytest.mark.parametrize("n_skips", [0, 1])
@pytest.mark.usefixtures("_graphs")
def test_skipped_graphs_are_not_claimed(n_skips, monkeypatch, caplog):
    """Bug: Inductor's warning that it skips CUDA graphs was swallowed."""
    runs = []

    def run_bare(self, form, mixtures):
        runs.append(form)
        counters["inductor"]["cudagraph_skips"] += n_skips * (len(runs) == 1)
        return form(mixtures)

    monkeypatch.setattr(SeparationModule, "_run", run_bare)
    with caplog.at_level(logging.INFO):
        module = prepare(monkeypatch, None, cuda_graphs="on")
    assert len(runs) == GRAPH_RUNS
    assert ("compiled with CUDA graphs" in caplog.text) == (n_skips == 0) == module.use_graphs
    assert ("1 skipped" in caplog.text) == bool(n_skips)


@pytest.mark.usefixtures("_graphs")
def test_without_memory_for_graphs_it_compiles_without(monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        full = torch.OutOfMemoryError("CUDA out of memory.")
        module = prepare(monkeypatch, full, None, cuda_graphs="on")
    assert "no CUDA graphs (training.cuda_graphs): OutOfMemoryError: CUDA out" in caplog.text
    assert "training runs compiled, float32" in caplog.text and not module.use_graphs


@pytest.mark.parametrize(
    ("device", "changes", "expected"),
    [
        (CUDA, {}, ("btc", True, True)),  # what an H100 was measured to be fastest with
        (CUDA, {"cuda_graphs": "off"}, ("btc", True, False)),
        (CUDA, {"own_gradients": "off"}, ("btc", False, True)),
        (CUDA, {"layout": "bct"}, ("bct", False, False)),
        (CUDA, {"compile": "off"}, ("bct", False, False)),
        (CUDA, {"fused_norm": "false"}, ("bct", False, False)),
        (CUDA, {"batch_size": 4, "micro_batch": 2}, ("btc", True, False)),
        (CPU, {}, ("bct", True, False)),
    ],
)
def test_auto_is_what_was_measured_to_pay(device, changes, expected, monkeypatch, caplog):
    conf = make_conf(**{"compile": "auto", "precision": "fp32"} | changes)
    module = SeparationModule(make_model(conf), conf.training)
    monkeypatch.setattr(SeparationModule, "device", property(lambda self: device))
    module.layout = module._choose_layout()
    chosen = (module.layout, module._writes_gradients(), module._can_use_graphs())
    assert chosen == expected
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
