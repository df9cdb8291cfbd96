"""Training: the steps, schedules, and what interruptions must not change."""

import contextlib
import copy
import dataclasses
import functools
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils._python_dispatch import TorchDispatchMode

from separation.config.training import TrainingConf
from separation.corpora.pack import PackedAudio, pack_speakers
from separation.corpora.plugin import list_recordings
from separation.corpora.table import scan_recordings
from separation.errors import UserError
from separation.files import read_rows
from separation.mixtures.dynamic.host import DynamicMixtures, ListedSegments
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import load_model
from separation.training import distributed as distributed_module
from separation.training import module as training_module
from separation.training.compiling import can_compile
from separation.training.data import open_batches, open_dev, open_mixer
from separation.training.distributed import Distributed, SignalWatch
from separation.training.loop import TrainingLoop
from separation.training.loss import compile_loss, make_pit_loss
from separation.training.module import SeparationModule, make_model
from separation.training.schedule import scale_lr
from separation.training.step import TrainStep, derive_seed
from separation.training.validation import Validator, join_signals
from tests.conftest import ROOT
from tests.models.test_model import compare_gradients
from tests.support.dispatched import Dispatched
from tests.support.training_case import (
    N_SAMPLES,
    RATE,
    Broken,
    Trapped,
    Voices,
    make_conf,
    make_dev,
    read,
    run,
)

# What differs between any two runs.
TIMES = {"elapsed_s", "stepping_s", "validation_s", "audio_s_per_s", "memory_mb"}


def assert_same(one, other, where: str = "") -> None:
    """Equal to the bit, but for what time and memory decide."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - TIMES:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{place}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def segments(speech_folder, tmp_path_factory) -> dict:
    """Training items by kind: mixed on the fly from packed audio, and of a fixed list."""
    folder, conf = tmp_path_factory.mktemp("packed"), make_conf()
    recordings = [r for r in list_recordings("speech", speech_folder) if "say1" in str(r.path)]
    table = scan_recordings(recordings, speech_folder, conf.corpus, 1, folder / "scan").utterances
    pack_speakers(table, speech_folder, folder, RATE, 1)
    audio = PackedAudio(folder, sorted({row.speaker for row in table}))
    return {
        "dynamic": DynamicMixtures(audio, N_SAMPLES, conf.mixtures, seed=1),
        "listed": ListedSegments(make_dev(7), N_SAMPLES, seed=1),  # type: ignore[arg-type]
    }


CASES = {
    "in an epoch": ("dynamic", 33, None, {}),
    "of a list, in pieces, averaged": ("listed", 13, None, {"ema": 0.9, "micro_batch": 2}),
    "cosine, at an epoch's last step": ("dynamic", 23, None, {"schedule": "cosine"}),
    "in validation": ("listed", None, 1, {"ema": 0.9, "halve_after": 0}),
    "with a worker process": ("dynamic", 33, None, {"num_workers": 1}),
    "compiled": ("dynamic", 33, None, {"compile": "on"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_interrupted_training_ends_with_the_same_bits(segments, case, number, tmp_path):
    kind, item, dev_item, changes = CASES[case]
    if case == "compiled" and not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    if number == signal.SIGINT and case not in ("in an epoch", "in validation"):
        pytest.skip("once is enough")
    items, dev = segments[kind], make_dev()
    whole = run(tmp_path / "whole", items, dev, epochs=3, **changes)
    trapped = Trapped(items, -1 if item is None else item, number)
    trapped_dev = Trapped(dev, -1 if dev_item is None else dev_item, number)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stop:
        run(tmp_path / "cut", trapped, trapped_dev, epochs=3, **changes)
    if number == signal.SIGTERM:
        assert stop.value.code == 143
    else:
        assert stop.type is KeyboardInterrupt
    cut = read(tmp_path / "cut")
    if dev_item is not None:
        assert (cut["epoch"], cut["steps_in_epoch"]) == (0, 6)
    elif "num_workers" not in changes:
        assert cut["step"] == item // 4 + 1
    resumed = run(tmp_path / "cut", items, dev, epochs=3, **changes)
    assert resumed["step"] == 18
    assert_same(whole, resumed)
    models = [load_model(tmp_path / name).state_dict() for name in ("whole", "cut")]
    assert_same(*map(dict, models))
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_training_step_is_asteroids():
    """What stage 4 runs by default: the tolerances of test_model.py's forms; compiled just now."""
    module, _ = make_train_step(compile="on")
    peer = copy.deepcopy(module.model)
    losses = import_asteroid("losses")
    stock = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    mixtures, sources = make_batch()
    ours, expected = module.training_step([mixtures, sources], 0), stock(peer(mixtures), sources)
    ours.backward()
    expected.backward()
    assert float(ours) == pytest.approx(float(expected), abs=1e-3)
    assert compare_gradients(module.model, peer) < 0.005


def start(*arguments: object, launcher: tuple = ()) -> subprocess.CompletedProcess:
    """The small training in processes of its own."""
    module = ["-m", "tests.support.training_case"]
    command = [sys.executable, *launcher, *module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def start_tasks(*arguments: object) -> subprocess.CompletedProcess:
    """The small training as SLURM's srun starts it: two tasks of one node, told by environment."""
    command = [sys.executable, "-m", "tests.support.training_case", *map(str, arguments)]
    job = {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "localhost",
    }
    job |= {"SLURM_JOB_ID": str(20_000 + os.getpid() % 10_000), "SLURM_NODEID": "0"}
    tasks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | job | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in range(2)
    ]
    ends = [(task.communicate(timeout=300)[1], task.returncode) for task in tasks]
    errors, codes = zip(*ends, strict=True)
    return subprocess.CompletedProcess(command, max(map(abs, codes)), stderr="".join(errors))


@pytest.mark.slow
def test_killed_training_loses_no_more_than_the_steps_since_its_checkpoint(tmp_path):
    killed = start(tmp_path / "cut", "killed_at=33", "checkpoint_min=0.000001")
    assert killed.returncode == -signal.SIGKILL
    assert read(tmp_path / "cut")["step"] == 8  # the ninth step's item killed it
    assert_same(run(tmp_path / "whole"), run(tmp_path / "cut"))


@pytest.mark.parametrize("fused", [True, False])
def test_training_goes_on_with_fused_adam_switched(fused, tmp_path):
    """Bug: the optimiser kept the checkpoint's kernel, whose guard the first step then refused."""
    whole = run(tmp_path / "whole", fused_adam=not fused)
    run(tmp_path / "switched", fused_adam=not fused, epochs=1)
    switched = run(tmp_path / "switched", fused_adam=fused)
    assert switched["stepper"]["optimizer"]["param_groups"][0]["fused"] == (fused or None)
    for name, value in whole["state_dict"].items():
        assert torch.allclose(value, switched["state_dict"][name], atol=1e-5), name


def test_turing_refuses_bf16_and_takes_float32_by_itself(monkeypatch):
    """Bug: it said "compiled, bf16" where Inductor had skipped the compilation."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(SeparationModule, "device", torch.device("cuda:0"))
    with pytest.raises(UserError, match=r"precision=bf16: Tesla T4 .*8.0; set .*precision=auto"):
        make_train_step(precision="bf16")
    conf = make_conf(precision="auto")
    module = SeparationModule(make_model(conf), conf.training)
    module.prepare_eager()
    assert not module.use_bf16


def test_full_disk_is_one_sentence_and_costs_nothing(tmp_path):
    whole = run(tmp_path / "whole", epochs=2)
    first = run(tmp_path / "full", epochs=1)
    for name in (".last.ckpt.partial", ".best_model.pth.partial"):
        where = tmp_path / "full" / ("checkpoints" if "ckpt" in name else "")
        (where / name).symlink_to("/dev/full")  # gone after one try, as if room was made
        with pytest.raises(UserError, match=r"make room and run the same command"):
            run(tmp_path / "full", epochs=2)
        assert_same(first, read(tmp_path / "full"))
    assert_same(whole, run(tmp_path / "full", epochs=2))


def _damage_last_checkpoint(kind: str, path: Path) -> None:
    torch.save({"state_dict": {}}, path)
    data = bytearray(path.read_bytes())
    if kind == "pickle":  # that takes from an empty stack
        data = bytearray(b"\x80\x02a.")
    elif kind == "disks":  # of which the end of the archive states several
        data[data.rindex(b"PK\6\7") + 16] = 3
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("other", "a new --tag"), ("pickle", "a new --tag"), ("disks", "delete it to begin anew")],
)
def test_checkpoint_of_something_else_is_refused(kind, said, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    _damage_last_checkpoint(kind, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match=said):
        run(tmp_path)


def make_train_step(**changes) -> tuple[SeparationModule, TrainStep]:
    conf = make_conf(**changes)
    torch.manual_seed(0)
    module = SeparationModule(make_model(conf), conf.training)
    module.prepare(N_SAMPLES)
    return module, TrainStep(module, conf.training, Distributed(conf.training, torch.device("cpu")))


def make_batch(size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    mixtures, sources = zip(*(Voices()[i] for i in range(size)), strict=True)
    return torch.stack(mixtures), torch.stack(sources)


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_gradients_of_pieces_are_those_of_the_whole_batch(micro_batch):
    gradients = []
    for size in (0, micro_batch):
        module, train_step = make_train_step(micro_batch=size, clip=0)
        train_step.run(0, *make_batch(), lr=0.001)
        gradients.append([p.grad for p in module.parameters() if p.grad is not None])
        expected = module.pit_loss(make_model_output(size), make_batch()[1])
        assert float(train_step.loss) == pytest.approx(float(expected), abs=1e-4)
    for whole, pieces in zip(*gradients, strict=True):
        assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


class Waits(TorchDispatchMode):
    """Notes operations for which a host waits for a GPU: values read, shapes that follow them."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "item")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in str(func) for name in self.NAMES):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("changes", "waits"), [({}, False), ({"ema": 0.9, "micro_batch": 2}, False),
                           ({"fused_adam": False}, True)]
)  # fmt: skip
def test_no_step_waits_for_a_gpu(changes, waits, monkeypatch):
    """Bug: Asteroid's search of the permutation read one index for every mixture."""
    _, train_step = make_train_step(**changes)
    train_step.run(0, *make_batch(), lr=0.001)
    monkeypatch.setattr(train_step, "read_guards", lambda: None)  # a GPU's comes every 20 steps
    with Waits() as seen:
        train_step.run(1, *make_batch(), lr=0.001)
    assert bool(seen.found) == waits, seen.found


@pytest.mark.parametrize("n_src", [2, 3])
def test_search_of_the_permutation_is_asteroids(n_src):
    losses = import_asteroid("losses")
    stock = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    targets = torch.randn(7, n_src, 500)
    noise = torch.randn(7, n_src, 500)
    found = []
    for loss in (stock, make_pit_loss()):
        estimates = (targets.roll(1, 1) + noise).requires_grad_(True)
        value, reordered = loss(estimates, targets, return_est=True)
        value.backward()
        found.append((value.detach(), reordered.detach(), estimates.grad))
    for theirs, ours in zip(*found, strict=True):
        assert torch.allclose(theirs, ours, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "device", "layout", "written"),
    [
        ({}, "cuda", "btc", True),
        ({}, "cpu", "bct", True),
        ({"layout": "bct"}, "cuda", "bct", False),
        ({"fused_norm": False}, "cuda", "bct", False),
        ({"layout": "btc", "own_gradients": "off"}, "cuda", "btc", False),
        ({"compile": "off"}, "cuda", "bct", False),
        ({"layout": "btc"}, "cpu", "btc", True),
    ],
)
def test_layout_and_gradients_that_auto_picks(changes, device, layout, written, monkeypatch):
    """Layout btc with gradients written out took half of bct's time on an H100."""
    monkeypatch.setattr(SeparationModule, "device", torch.device(device))
    conf = make_conf(**({"compile": "auto"} | changes))
    module = SeparationModule(make_model(conf), conf.training)
    module.layout = module._choose_layout()
    assert (module.layout, module._writes_gradients()) == (layout, written)


@pytest.mark.parametrize(
    ("has_amx", "changes", "layout", "written"),
    [
        (True, {}, "btc", True),
        (False, {}, "bct", False),
        (True, {"compile": "off"}, "bct", False),
        (True, {"own_gradients": "off"}, "btc", False),
    ],
)
def test_auto_in_bf16_on_a_cpu(has_amx, changes, layout, written, monkeypatch):
    """Layout btc with gradients written out was the fastest in AMX's bfloat16."""
    monkeypatch.setattr(training_module, "has_amx", lambda: has_amx)
    conf = make_conf(**({"compile": "auto", "precision": "bf16"} | changes))
    module = SeparationModule(make_model(conf), conf.training)
    module.prepare_eager()
    assert (module.layout, module._writes_gradients()) == (layout, written)


def test_gradients_written_out_in_bf16_need_layout_btc(monkeypatch):
    monkeypatch.setattr(training_module, "has_amx", lambda: False)
    conf = make_conf(own_gradients="on", precision="bf16", compile="auto")
    module = SeparationModule(make_model(conf), conf.training)
    module.prepare_eager()
    with pytest.raises(UserError, match=r"own_gradients=on.*layout=btc"):
        module._writes_gradients()


@pytest.mark.parametrize("name", ["si_sdr", "snr"])
def test_compiled_loss_is_the_loss(name, monkeypatch):
    """Traced as one graph; on a GPU the compiler's kernels run it."""
    torch._dynamo.reset()
    whole = functools.partial(torch.compile, fullgraph=True, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", whole)
    eager = make_pit_loss(name)
    compiled = compile_loss(eager)
    targets, noise = torch.randn(2, 5, 3, 400)
    found = []
    for loss in (eager, compiled):
        estimates = (targets.roll(1, 1) + noise).requires_grad_(True)
        value = loss(estimates, targets)
        value.backward()
        found.append((value.detach(), estimates.grad))
    for theirs, ours in zip(*found, strict=True):
        assert torch.allclose(theirs, ours, atol=1e-5)


def test_loss_and_update_dispatch_few_operations():
    """Each is a launch on a GPU, 5 to 40 us of the host's time."""
    _, train_step = make_train_step(ema=0.9)
    mixtures, sources = make_batch()
    train_step.run(0, mixtures, sources, lr=0.001)
    with Dispatched() as update:
        train_step._update(0.001)
    with Dispatched() as average:
        train_step.average.update(2, torch.ones(()))
    estimates = torch.randn_like(sources, requires_grad=True)
    with Dispatched() as loss:
        make_pit_loss()(estimates, sources).backward()
    counts = {"update": update.count, "average": average.count, "loss": loss.count}
    assert counts["update"] <= 25 and counts["average"] <= 6 and counts["loss"] <= 90, counts


def test_steps_take_any_seed_and_their_dropout_differs():
    """Bug: a seed such as a date overflowed torch's generator at the first step."""
    _, train_step = make_train_step(seed=20261125)
    train_step.run(0, *make_batch(), lr=0.001)
    seeds = {derive_seed(s, n, r) for s in (0, 2**32 - 1) for n in (0, 1, 10**9) for r in (0, 1)}
    assert len(seeds) == 12 and max(seeds) < 2**63
    with pytest.raises(UserError, match=r"training.seed=-1"):
        make_conf(seed=-1)


@pytest.mark.parametrize("fused", [True, False])
def test_measures_of_speed_can_be_switched_off(fused):
    """Every one of them off, the training is Asteroid's own layers and torch's own Adam."""
    changes = {"fused_adam": False, "fused_norm": False} if not fused else {}
    module, train_step = make_train_step(**changes)
    names = {type(part).__name__ for part in module._forms["train"].modules()}
    assert ("GlobLN" in names) != fused and ("FusedGlobalNorm" in names) == fused
    assert bool(train_step.optimizer.defaults["fused"]) == fused
    train_step.run(0, *make_batch(), lr=0.001)
    _, other = make_train_step()
    other.run(0, *make_batch(), lr=0.001)
    assert float(train_step.loss) == pytest.approx(float(other.loss), abs=1e-4)
    assert float(train_step.gradient_norm) == pytest.approx(float(other.gradient_norm), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"compile": "off"}, "eager (training.compile=off)"),
     ({"compile": "auto"}, "compiling needs a C++ compiler")],
)  # fmt: skip
def test_log_says_why_training_runs_eager(changes, reason, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "/nowhere")
    with caplog.at_level(logging.INFO):
        make_train_step(**changes)
    assert reason in caplog.text
    with pytest.raises(UserError, match=r"training.compile=on: .*C\+\+ compiler"):
        make_train_step(compile="on")


def make_model_output(micro_batch: int) -> torch.Tensor:
    """Estimates of the batch by the weights before the step."""
    module, _ = make_train_step(micro_batch=micro_batch)
    with torch.no_grad():
        return module.model(make_batch()[0])


@pytest.mark.parametrize("clip", [0, 5.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("fused", [True, False])
def test_step_that_is_not_finite_changes_nothing(clip, bad, fused, caplog):
    module, train_step = make_train_step(clip=clip, batch_size=4, ema=0.5, fused_adam=fused)
    mixtures, sources = make_batch()
    train_step.run(0, mixtures, sources, lr=0.01)
    before = [p.detach().clone() for p in module.parameters()]
    state = {k: {n: v.clone() for n, v in s.items()} for k, s in train_step.optimizer.state.items()}
    average = [value.clone() for value in train_step.average.values]
    broken = mixtures.clone()
    broken[2, 5] = bad
    with caplog.at_level(logging.WARNING):
        train_step.run(1, broken, sources, lr=0.01)
    assert "step 1 (items 4 to 7) skipped" in caplog.text
    assert_same(before, [p.detach() for p in module.parameters()])
    assert_same(state, dict(train_step.optimizer.state))
    assert_same(average, train_step.average.values)
    loss_sum = float(train_step.loss_sum)
    train_step.run(2, mixtures, sources, lr=0.01)
    assert train_step.n_skipped == 1 and train_step.n_skipped_in_row == 0
    assert math.isfinite(loss_sum) and float(train_step.loss_sum) != loss_sum
    assert any(not torch.equal(p, q) for p, q in zip(before, module.parameters(), strict=True))


def test_skipped_steps_are_counted_and_too_many_end_the_training(tmp_path):
    run(tmp_path / "few", Broken(range(5, 10)))
    rows = read_rows(tmp_path / "few" / "curves.csv")
    assert [row["skipped"] for row in rows] == ["2", "0"]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    with pytest.raises(UserError, match=r"step 3 \(items 12 to 15\).*3 times.*training.lr"):
        run(tmp_path / "many", Broken(range(4, 10**6)), max_skipped=3)


def test_average_of_weights_is_what_is_validated_and_saved(tmp_path):
    module, train_step = make_train_step(ema=0.5)
    expected = [p.detach().clone() for p in module.parameters()]
    for number in range(9):
        train_step.run(number, *make_batch(), lr=0.01)
        decay = min(0.5, (2 + number) / (11 + number))
        expected = [
            decay * e + (1 - decay) * p
            for e, p in zip(expected, module.parameters(), strict=True)
        ]  # fmt: skip
    for value, average in zip(expected, train_step.average.values, strict=True):
        assert torch.allclose(value, average, atol=1e-6)

    state = run(tmp_path, epochs=1, ema=0.5)
    best = load_model(tmp_path)
    for (_, saved), average in zip(best.named_parameters(), state["stepper"]["ema"], strict=True):
        assert torch.equal(saved, average)
    masks = "masker.mask_net.1.weight"
    assert not torch.equal(best.state_dict()[masks], state["state_dict"][f"model.{masks}"])
    dev = [module.pit_loss(best(torch.from_numpy(m.mixture)[None]),
                           torch.from_numpy(m.sources)[None]) for m in make_dev()]  # fmt: skip
    assert np.mean([float(d) for d in dev]) == pytest.approx(
        state["results"]["rows"][0]["dev_loss"], abs=1e-3
    )


@pytest.mark.parametrize("loss", ["snr", "sd_sdr"])
def test_si_sdri_of_dev_is_that_whatever_the_loss(tmp_path, loss):
    state = run(tmp_path, epochs=1, loss=loss, optimizer="adamw", weight_decay=0.01)
    model, expected = load_model(tmp_path), {loss: [], "si_sdr": []}
    for mixture in make_dev():
        sources = torch.from_numpy(mixture.sources)[None]
        wave = torch.from_numpy(mixture.mixture)[None]
        expected[loss].append(float(make_pit_loss(loss)(model(wave), sources)))
        before = make_pit_loss("si_sdr")(wave[:, None].expand_as(sources), sources)
        expected["si_sdr"].append(float(before - make_pit_loss("si_sdr")(model(wave), sources)))
    row = state["results"]["rows"][0]
    assert row["dev_loss"] == pytest.approx(np.mean(expected[loss]), abs=1e-3)
    assert row["dev_si_sdri"] == pytest.approx(np.mean(expected["si_sdr"]), abs=1e-3)


def test_validation_in_groups_gives_what_one_by_one_gives(monkeypatch):
    dev, asked = make_dev(7), []
    conf = make_conf().training
    one = Distributed(conf, torch.device("cpu"))
    module, _ = make_train_step()
    expected = Validator(conf, dev, one).score(module, SignalWatch())
    monkeypatch.setattr(module.separator, "is_on_gpu", True)
    monkeypatch.setattr(module.separator, "n_at_once", 4)
    joined = module.separator.joined
    monkeypatch.setattr(
        module.separator, "joined", lambda batch, n: asked.append(n) or joined(batch, n)
    )
    found = Validator(conf, dev, one).score(module, SignalWatch())
    assert [len(lengths) for lengths in asked] == [4, 3]
    assert found.loss == pytest.approx(expected.loss, abs=1e-4)
    assert found.si_sdri == pytest.approx(expected.si_sdri, abs=1e-4)


@pytest.mark.parametrize("name", ["si_sdr", "snr", "sd_sdr"])
def test_signals_of_unlike_lengths_have_the_loss_that_they_have_alone(name):
    """With means, which are taken off over each one's own length."""
    pairs = [0.3 + torch.randn(2, 2, length) for length in (900, 1000, 701)]
    loss = make_pit_loss(name)
    alone = [float(loss(estimates[None], sources[None])) for estimates, sources in pairs]
    together = loss(*(join_signals(part) for part in zip(*pairs, strict=True)))
    assert float(together) == pytest.approx(np.mean(alone), abs=1e-4)


def test_scores_of_a_group_are_few_operations_each():
    """Bug: each mixture was scored by itself, in 40 operations, a third of validation's time on a
    GPU, whose host takes 23 to 44 us for each."""
    module, _ = make_train_step()
    conf, mixtures = make_conf().training, make_dev(16)
    validator = Validator(conf, mixtures, Distributed(conf, torch.device("cpu")))
    sources = [torch.from_numpy(own.sources) for own in mixtures]
    validator._of_mixtures = 0.0
    with torch.no_grad(), Dispatched() as seen:
        validator._sum_scores(module, sources, sources, sources)
    assert seen.count <= 11 * len(mixtures)


def test_schedules():
    conf = make_conf(schedule="cosine", warmup_steps=0).training
    assert scale_lr(conf, 0, 100, 0) == 1
    assert scale_lr(conf, 50, 100, 0) == pytest.approx(0.505)
    assert scale_lr(conf, 100, 100, 0) == pytest.approx(0.01)
    half = 0.5 * 60 * conf.budget_min  # the budget ends first
    assert scale_lr(conf, 1, 100, half) == pytest.approx(0.505)
    conf = make_conf(schedule="constant", warmup_steps=4, anneal_share=0.5).training
    assert [scale_lr(conf, step, 100, 0) for step in (0, 1, 3, 99)] == [0.25, 0.5, 1, 1]
    assert scale_lr(conf, 99, 100, 1.5 * half) == pytest.approx(0.5)
    assert scale_lr(conf, 99, 100, 2 * half) == pytest.approx(0.01)


@pytest.mark.parametrize(("schedule", "last"), [("plateau", 1e-12 / 4), ("constant", 1e-12)])
def test_only_the_plateau_halves_and_no_gain_stops_early(schedule, last, tmp_path):
    state = run(tmp_path, lr=1e-12, warmup_steps=0, halve_after=0, early_stop=3, epochs=9,
                epoch_mixtures=4, schedule=schedule)  # fmt: skip
    rates = [row["lr"] for row in state["results"]["rows"]]
    assert rates[-1] == pytest.approx(last) and rates[0] == pytest.approx(1e-12)
    assert 4 <= len(rates) < 9


def test_no_early_stop_and_a_few_dev_mixtures(tmp_path):
    """Bug: training.early_stop=0 ended every training before its first step."""
    state = run(tmp_path, lr=1e-12, early_stop=0, epochs=4, epoch_mixtures=4, dev_mixtures=2)
    assert state["epoch"] == 4
    module, _ = make_train_step()
    module.load_state_dict(state["state_dict"])
    chosen = [make_dev()[0], make_dev()[1]]
    losses = [module.pit_loss(module.model(torch.from_numpy(m.mixture)[None]),
                              torch.from_numpy(m.sources)[None]) for m in chosen]  # fmt: skip
    expected = np.mean([float(loss) for loss in losses])
    assert state["results"]["rows"][-1]["dev_loss"] == pytest.approx(expected, abs=1e-3)


def test_plateau_halves_when_the_loss_is_a_little_worse():
    """Bug: of losses below zero torch's relative threshold took a slightly worse one for better."""
    conf = make_conf(halve_after=0)
    distributed = Distributed(conf.training, torch.device("cpu"))
    module, _ = make_train_step()
    training = TrainingLoop(conf, module, Voices(), make_dev(), Path("unused"), distributed)  # type: ignore
    for loss in (-10.0, -9.9995):
        training.plateau.step(loss)
    assert training.train_step.optimizer.param_groups[0]["lr"] == pytest.approx(0.0005)


def test_what_may_change_when_a_training_goes_on():
    plateau, cosine = make_conf().training, make_conf(schedule="cosine").training
    assert {"devices", "num_workers", "micro_batch", "epochs"} <= plateau.may_change
    assert "epochs" not in cosine.may_change and "devices" in cosine.may_change
    names = {field.name for field in dataclasses.fields(TrainingConf)}
    assert plateau.may_change <= names and "lr" not in plateau.may_change


def test_time_budget_ends_with_a_validated_model_and_stays_ended(tmp_path):
    run(tmp_path, budget_min=1e-9)
    state = run(tmp_path, budget_min=1e-9)
    assert state["step"] == 1 and state["epoch"] == 1
    assert (tmp_path / "best_model.pth").is_file()


def test_what_is_saved_keeps_a_share_of_the_first_weights_and_resumes_to_the_bit(tmp_path):
    run(tmp_path / "start", epochs=1)
    first = load_model(tmp_path / "start").state_dict()
    changes = {"init_from": tmp_path / "start", "start_share": 0.25, "ema": 0.9, "epochs": 2}
    state = run(tmp_path / "whole", **changes)
    names = [name.removeprefix("model.") for name in state["state_dict"]]
    average = dict(zip(names, state["stepper"]["ema"], strict=False))
    with pytest.raises(SystemExit):
        run(tmp_path / "cut", Trapped(Voices(), 13, signal.SIGTERM), **changes)
    assert_same(state, run(tmp_path / "cut", **changes))
    kept = load_model(tmp_path / "whole").state_dict()
    for name, value in average.items():
        assert torch.allclose(kept[name], value + 0.25 * (first[name] - value), atol=1e-6), name
    _, train_step = make_train_step(start_share=0.25)
    assert train_step.compute_kept() is train_step.parameters  # from random weights: none


def test_fine_tuning_starts_from_the_checkpoint(tmp_path):
    run(tmp_path, epochs=1)
    conf = make_conf(init_from=tmp_path)
    for loaded in (make_model(conf), make_model(make_conf(init_from=tmp_path / "best_model.pth"))):
        assert_same(dict(loaded.state_dict()), dict(load_model(tmp_path).state_dict()))
    with pytest.raises(UserError, match=r"training.init_from=/no/such: no such checkpoint"):
        run(tmp_path / "other", init_from="/no/such")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("model.hid_chan=12", "its hid_chan is 8, the recipe's 12; set model.hid_chan=8"),
        (
            "model.mask_act=sigmoid",
            "recipe's sigmoid; set model.mask_act=relu",
        ),
        ("mixtures.n_src=3", "its n_src is 2, the recipe's 3; set mixtures.n_src=2"),
    ],
)
def test_other_architecture_is_named(other, sentence, tmp_path):
    run(tmp_path, epochs=1)
    conf = make_conf(init_from=tmp_path)
    section, (name, value) = other.split(".")[0], other.split(".")[1].split("=")
    value = int(value) if value.isdigit() else value
    changed = dataclasses.replace(getattr(conf, section), **{name: value})
    with pytest.raises(UserError, match=sentence):
        make_model(dataclasses.replace(conf, **{section: changed}))


def test_a_checkpoint_of_another_rate_is_said(tmp_path, caplog):
    run(tmp_path, epochs=1)
    conf = make_conf(init_from=tmp_path)
    make_model(conf)
    assert "was trained at" not in caplog.text
    make_model(dataclasses.replace(conf, audio=dataclasses.replace(conf.audio, sample_rate=16000)))
    assert "was trained at 4000 Hz and goes on at audio.sample_rate=16000" in caplog.text


def test_tensorboard_and_curves_hold_what_the_readme_says(tmp_path):
    run(tmp_path, examples_every=2, epochs=3, epoch_mixtures=40)
    board = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"audio": 0})
    board.Reload()
    tags = board.Tags()
    step_tags = {"train_loss_step", "grad_norm", "lr", "audio_s_per_s"}
    epoch_tags = {"train_loss", "dev_loss", "dev_si_sdr", "dev_si_sdri", "skipped", "memory_mb"}
    epoch_tags |= {"validation_s"}
    assert set(tags["scalars"]) == step_tags | epoch_tags
    assert [event.step for event in board.Images("example")] == [10, 30]
    assert {f"example/{name}" for name in ("mixture", "source_2", "estimate_1")} <= set(
        tags["audio"]
    )
    rows = read_rows(tmp_path / "curves.csv")
    assert [event.value for event in board.Scalars("dev_si_sdri")] == pytest.approx(
        [float(row["dev_si_sdri"]) for row in rows], abs=1e-3
    )
    module, _ = make_train_step()
    mixtures = [(torch.from_numpy(m.mixture), torch.from_numpy(m.sources)) for m in make_dev()]
    unprocessed = [-float(module.pit_loss(m.expand(1, 2, -1), s[None])) for m, s in mixtures]
    for row in rows:
        gain = -float(row["dev_loss"]) - np.mean(unprocessed)
        assert float(row["dev_si_sdri"]) == pytest.approx(gain, abs=1e-3)
        assert float(row["memory_mb"]) > 50


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_size": 4, "micro_batch": 3}, "batch_size=4.*micro_batch=3.*multiple of 3"),
        ({"batch_size": 3, "devices": 2}, "batch_size=3.*devices=2"),
        ({"ema": 1.0}, "training.ema=1.0"),
        ({"schedule": "linear"}, "plateau, cosine, constant"),
        ({"checkpoint_min": 0}, "checkpoint_min=0.0 must be above 0"),
        ({"cuda_graphs": "on", "compile": "off"}, "cuda_graphs=on.*compile=auto"),
        ({"cuda_graphs": "on", "batch_size": 4, "micro_batch": 2}, "cuda_graphs=on.*micro_batch"),
        (
            {"own_gradients": "on", "precision": "bf16", "layout": "bct"},
            "own_gradients=on.*precision=fp32",
        ),
        ({"layout": "btc", "fused_norm": False}, "layout=btc.*fused_norm=true"),
        ({"layout": "tbc"}, "auto, btc, bct"),
    ],
)
def test_contradictions_are_refused(changes, named):
    with pytest.raises(UserError, match=named):
        make_conf(**changes)


# our own launcher: the next test
@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("SLURM", marks=pytest.mark.long)])
@pytest.mark.slow
def test_two_processes_train_what_one_does(launcher, tmp_path):
    """Seven steps of Adam on the same global batches; three dev mixtures, so shares differ."""
    changes = {"epoch_mixtures": 28, "epochs": 1, "ema": 0.9}
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2")
    words = [f"{key}={value}" for key, value in changes.items()]
    arguments = (tmp_path / "two", "devices=2", *words)
    done = start_tasks(*arguments) if launcher == "SLURM" else start(*arguments, launcher=torchrun)
    assert done.returncode == 0, done.stderr
    one, two = run(tmp_path / "one", **changes), read(tmp_path / "two")
    assert one["step"] == two["step"] == 7
    for name, value in one["state_dict"].items():
        assert torch.allclose(value, two["state_dict"][name], atol=1e-5), name
    rows = [state["results"]["rows"][0] for state in (one, two)]
    for name in ("train_loss", "dev_loss", "dev_si_sdri"):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=2e-4)
    names = [sorted(p.name for p in Path(tmp_path / f).iterdir()) for f in ("one", "two")]
    assert names[0] == names[1]
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_stop_and_go_on_with_the_same_bits(tmp_path):
    """In pieces, with a step that is not finite in one process, and SIGTERM to that process."""
    words = ["devices=2", "micro_batch=1", "broken_at=5", "ema=0.9"]
    whole = start(tmp_path / "whole", *words)
    assert whole.returncode == 0, whole.stderr
    cut = start(tmp_path / "cut", *words, "stopped_at=33")
    assert cut.returncode != 0 and read(tmp_path / "cut")["step"] == 9, cut.stderr
    again = start(tmp_path / "cut", *words)
    assert again.returncode == 0, again.stderr
    assert_same(read(tmp_path / "whole"), read(tmp_path / "cut"))
    skipped = [row["skipped"] for row in read_rows(tmp_path / "cut" / "curves.csv")]
    assert skipped == ["1", "0"]


@pytest.mark.parametrize(("item", "step"), [(5, 4), (13, 4), (17, 6), (23, 6)])
def test_processes_agree_every_few_steps_and_at_an_epochs_end(item, step, monkeypatch, tmp_path):
    """Each epoch has six steps of four items."""
    every_four = property(lambda _: 4, lambda *_: None)
    monkeypatch.setattr(Distributed, "agree_every", every_four, raising=False)
    with pytest.raises(SystemExit):
        run(tmp_path / "cut", Trapped(Voices(), item, signal.SIGTERM))
    assert read(tmp_path / "cut")["step"] == step
    assert_same(run(tmp_path / "whole"), run(tmp_path / "cut"))


def test_a_step_without_memory_is_one_sentence(monkeypatch, tmp_path):
    """Bug: on one of several GPUs it left the others waiting, and its traceback named no key."""

    def run_short(self, number, *_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee docs")

    monkeypatch.setattr(TrainStep, "run", run_short)
    with pytest.raises(UserError, match=r"step 0: .*4 mixtures .*2 GiB.*training.micro_batch=2,"):
        run(tmp_path)


def test_validation_without_memory_is_one_sentence(monkeypatch, tmp_path):
    """The graph of a recorded step keeps its activations while dev mixtures go through."""

    def run_short(self, mixtures):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr("separation.models.inference.Separator.separate", run_short)
    with pytest.raises(UserError, match=r"step 1: .*one dev mixture .*training.cuda_graphs=off,"):
        run(tmp_path, epoch_mixtures=4)


def test_hosts_that_do_not_reach_each_other_are_told_the_variable(monkeypatch):
    def fail(backend):
        raise RuntimeError("Gloo connectFullMesh failed with [..] no error\nException raised")

    monkeypatch.setattr(distributed_module.dist, "new_group", fail)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    with pytest.raises(UserError, match=r"connectFullMesh.*GLOO_SOCKET_IFNAME, which is not set"):
        distributed_module._open_host_group()


def test_ddp_is_made_on_the_stream_of_the_training(monkeypatch):
    """Bug: Lightning makes it on another, of which PyTorch warns in every run."""
    made, streams = [], []
    monkeypatch.setattr(
        distributed_module, "DistributedDataParallel", lambda *a, **k: made.append((a, k))
    )
    monkeypatch.setattr(torch.cuda, "Stream", lambda: streams.append(1))
    strategy = distributed_module.DDPOnOneStream(gradient_as_bucket_view=True)
    monkeypatch.setattr(strategy, "_determine_ddp_device_ids", lambda: [1])
    strategy.setup_module(module := torch.nn.Linear(1, 1))
    assert made == [((module,), {"device_ids": [1], "gradient_as_bucket_view": True})]
    assert not streams


class Place(NamedTuple):
    """Of a process among all of a run."""

    rank: int
    world_size: int
    device: torch.device


def test_mixing_on_the_device_gives_training_the_same_batches(segments):
    batches = {}
    for mixing in ("host", "device"):
        conf = make_conf(mixing=mixing).training
        second = Place(1, 2, torch.device("cpu"))
        mixer = open_mixer(conf, segments["dynamic"], second)
        assert (mixer is None) == (mixing == "host")
        opened = open_batches(conf, segments["dynamic"], 3, second, mixer)
        with contextlib.closing(opened):
            batches[mixing] = [next(opened) for _ in range(3)]
    for host, device in zip(batches["host"], batches["device"], strict=True):
        for ours, expected in zip(device, host, strict=True):
            assert ours.shape == expected.shape
            assert (ours - expected).abs().max() < 1e-6


def test_beside_nccl_workers_do_not_begin_as_forks():
    """PyTorch's DDP page calls a fork beside NCCL unsafe."""
    dev, conf = make_dev(3), make_conf(num_workers=1).training
    loader = open_dev(conf, dev, [0, 2], Place(0, 2, torch.device("cuda:0")))
    assert loader.multiprocessing_context.get_start_method() == "forkserver"
    assert forkserver._forkserver._preload_modules == ["separation.training.data"]  # type: ignore
    assert [len(mixture[0]) for mixture, _ in loader] == [N_SAMPLES, N_SAMPLES - 200]
    for place in (Place(0, 1, torch.device("cuda:0")), Place(0, 2, torch.device("cpu"))):
        assert open_dev(conf, dev, [0], place).multiprocessing_context is None


@pytest.mark.parametrize("kind", ["dynamic", "listed"])
def test_what_a_worker_process_gets_is_pickled_small(segments, kind):
    """Workers that are no forks get the training items pickled."""
    text = pickle.dumps(segments[kind])
    assert len(text) < 1_000_000
    for ours, expected in zip(pickle.loads(text)[5], segments[kind][5], strict=True):
        assert torch.equal(ours, expected)


def test_auto_mixes_on_a_gpu_and_fixed_lists_on_the_host(segments, monkeypatch, caplog):
    monkeypatch.setattr("separation.training.data.DeviceMixer", lambda *a, **k: "mixer")
    cpu, gpu = (Place(0, 1, torch.device(name)) for name in ("cpu", "cuda:0"))
    auto, wanted = make_conf(mixing="auto").training, make_conf(mixing="device").training
    assert open_mixer(auto, segments["dynamic"], gpu) == "mixer"
    assert open_mixer(auto, segments["dynamic"], cpu) is None
    assert open_mixer(auto, segments["listed"], gpu) is None and not caplog.text
    assert open_mixer(wanted, segments["listed"], gpu) is None
    assert "a fixed list of mixtures is read by the host" in caplog.text
