"""Micro-batch: found by trying, on pretended cards, and a step's memory computed."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.batch_memory import BEGIN, END, PAGE, RESULT, format_tables
from separation.errors import UserError
from separation.models.asteroid import import_asteroid
from separation.models.fast.layers import make_fast
from separation.training.distributed import Distributed
from separation.training.micro_batch import (
    StepMemory,
    enlarge_micro_batch,
    estimate_step_bytes,
    find_micro_batch,
    fit_micro_batch,
    measure_saved,
)
from separation.training.module import SeparationModule, make_model
from tests.support.training_case import make_conf


class Card:
    """Has room for so many items at once; notes what goes through the model."""

    def __init__(self, room: int) -> None:
        self.room, self.seen = room, []

    def check(self, _module, inputs) -> None:
        self.seen.append(tuple(inputs[0].shape))
        if len(inputs[0]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def __deepcopy__(self, memo):
        return self


def fit(room: int, **changes):
    conf = make_conf(batch_size=8, **changes)
    module = SeparationModule(make_model(conf), conf.training)
    card = Card(room)
    module.model.register_forward_pre_hook(card.check)
    return (
        fit_micro_batch(conf, module, Distributed(conf.training, torch.device("cpu"))),
        module,
        card,
    )


@pytest.mark.parametrize(("room", "expected"), [(8, 0), (7, 4), (2, 2), (1, 1)])
def test_the_largest_piece_that_fits_is_taken(room, expected):
    conf, _, card = fit(room)
    assert conf.training.micro_batch == expected
    assert conf.training.batch_size == 8
    assert card.seen[0] == (8, 2000)


@pytest.mark.parametrize(("room", "graphs"), [(8, True), (4, False)])
def test_a_batch_in_pieces_goes_without_cuda_graphs(room, graphs, caplog):
    """Bug: it ended with the advice to leave micro_batch at 0, where the user had left it."""
    conf, _, _ = fit(room, cuda_graphs="on", compile="auto")
    assert conf.training.cuda_graphs == ("on" if graphs else "off")
    assert ("no CUDA graphs" in caplog.text) != graphs


def test_a_piece_that_is_asked_for_is_not_tried():
    conf, _, card = fit(1, micro_batch=4)
    assert conf.training.micro_batch == 4 and card.seen == []


def test_trying_leaves_weights_and_random_numbers_alone():
    torch.manual_seed(3)
    conf = make_conf(batch_size=4)
    module = SeparationModule(make_model(conf), conf.training)
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    fit_micro_batch(conf, module, Distributed(conf.training, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())


def test_no_room_for_a_single_mixture_is_one_sentence():
    with pytest.raises(UserError, match=r"batch_size=8: not even one mixture fits"):
        fit(0)


class FakeCard:
    """Memory for so many items; a ballast takes some of it."""

    def __init__(self, room: float, message: str = "CUDA out of memory. Tried to allocate 2 GiB"):
        self.room, self.message = room, message
        self.tried: list[int] = []
        self.held = 0.0

    def try_step(self, size: int) -> None:
        self.tried.append(size)
        if size + self.held > self.room:
            raise (torch.OutOfMemoryError if "CUDA" in self.message else RuntimeError)(self.message)

    def hold_margin(self) -> "Ballast":
        return Ballast(self, 0.1 * self.tried[-1])


class Ballast:
    def __init__(self, card: FakeCard, size: float) -> None:
        self.card, self.size = card, size
        card.held += size

    def __del__(self) -> None:
        self.card.held -= self.size


@pytest.mark.parametrize(
    ("room", "expected"), [(100, 24), (26.4, 24), (26, 12), (24, 12), (7, 6), (2.1, 1), (1.1, 1)]
)
def test_the_largest_divisor_that_fits_with_its_margin(room, expected):
    card = FakeCard(room)
    assert find_micro_batch(card.try_step, 24, card.hold_margin) == expected
    assert card.tried[0] == 24 and card.held == 0


@pytest.mark.parametrize(
    "message",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
        "HIP out of memory",
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_other_words_for_it(message):
    card = FakeCard(3, message)
    assert find_micro_batch(card.try_step, 8, card.hold_margin) == 2


def test_not_even_one_fits():
    card = FakeCard(1.05)
    with pytest.raises(
        UserError, match=r"batch_size=6: not even one mixture fits .*\(CUDA out.*segment_s"
    ):
        find_micro_batch(card.try_step, 6, card.hold_margin)
    assert card.tried == [6, 3, 2, 1, 1]


@pytest.fixture
def _compiles(monkeypatch):
    """Compiled forms are the eager ones."""
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    monkeypatch.setattr("separation.training.module.find_missing_tool", lambda _: "")


@pytest.mark.parametrize(
    ("step_bytes", "room", "expected", "recompiled"),
    [
        (300, 8, 0, True),  # all of it is predicted to fit, and does
        (700, 8, 4, True),
        (1700, 8, 2, False),  # nothing more is
        (300, 7, 2, True),  # predicted to fit, and does not
    ],
)
@pytest.mark.usefixtures("_compiles")
def test_compiled_pieces_are_enlarged_once(step_bytes, room, expected, recompiled, caplog):
    conf = make_conf(batch_size=8, micro_batch=2, compile="auto")
    module, card = SeparationModule(make_model(conf), conf.training), Card(room)
    module.prepare(2000)
    module.model.register_forward_pre_hook(card.check)
    form = module._forms["train"]
    form.register_forward_pre_hook(card.check)
    one = Distributed(conf.training, torch.device("cpu"))
    caplog.set_level("INFO")
    larger = enlarge_micro_batch(conf, module, one, lambda _: (step_bytes, 3000))
    assert larger.training.micro_batch == expected
    assert module.conf == larger.training
    assert (module._forms["train"] is form) == (expected == 2)
    assert ("compiling the model" in caplog.text) == recompiled
    assert f"compiled, {expected or 8} of 8 mixtures fit" in caplog.text or expected == 2
    assert all(parameter.grad is None for parameter in module.parameters())


def test_other_errors_are_not_taken_for_it():
    def try_step(size):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        find_micro_batch(try_step, 4)


def test_a_failed_try_leaves_nothing_behind():
    """The exception's frames would keep the step's tensors through the next try."""
    alive = []

    class Tensorlike:
        def __init__(self):
            alive.append(self)

    import weakref

    seen: list[weakref.ref] = []

    def try_step(size):
        assert all(reference() is None for reference in seen)
        local = Tensorlike()
        alive.clear()
        seen.append(weakref.ref(local))
        if size > 1:
            raise RuntimeError("out of memory")

    assert find_micro_batch(try_step, 4, lambda: None) == 1
    assert len(seen) == 4


class OneProduct(nn.Module):
    """Saves for certain: its input, the input's square, and what the loss needs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1))

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        return (mixtures[:, None] * self.scale).exp().exp().exp()


def test_a_storage_counts_once_and_parameters_do_not():
    class Identity(OneProduct):
        def forward(self, mixtures):
            return mixtures[:, None] * self.scale

    plain = measure_saved(Identity(), 2, 1000, "fp32")[0]
    # each exp saves its result, (batch, n_src, time) float32, and nothing else
    assert measure_saved(OneProduct(), 2, 1000, "fp32")[0] - plain == 3 * 2 * 2 * 1000 * 4


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    sizes = {"n_filters": 64, "kernel_size": 16, "stride": 8, "bn_chan": 32, "hid_chan": 64}
    blocks = {"skip_chan": 32, "n_blocks": 3, "n_repeats": 2, "mask_act": "relu"}
    return import_asteroid("models").ConvTasNet(n_src=2, sample_rate=8000, **sizes, **blocks)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("form", ["stock", "fast"])
def test_scaling_predicts_other_batches_and_lengths(tiny, form, precision):
    model = tiny if form == "stock" else make_fast(tiny)
    memory = StepMemory(model, precision, 800)
    found = measure_saved(model, 5, 4000, precision)[0]
    assert memory.estimate(5, 4000).activations == pytest.approx(found, rel=0.002)


def test_bf16_saves_memory_but_norms_stay_float32(tiny):
    fast = make_fast(tiny)
    wide, narrow = (
        estimate_step_bytes(fast, 16000, 4, precision) for precision in ("fp32", "bf16")
    )
    assert wide.parameters == narrow.parameters == 4 * sum(p.numel() for p in tiny.parameters())
    assert wide.optimiser == 2 * wide.gradients == 2 * wide.parameters
    # all in half would be 0.5
    assert 0.55 < narrow.activations / wide.activations < 0.95


def read_peak(model, optimizer, batch, n_samples, path) -> int:
    """The allocator's highest sum of a step's own allocations."""
    losses = import_asteroid("losses")
    pit_loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    mixtures, sources = torch.randn(batch, n_samples), torch.randn(batch, 2, n_samples)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        pit_loss(model(mixtures), sources).backward()
        optimizer.step()
        optimizer.zero_grad()
    profiler.export_chrome_trace(str(path))
    events = json.loads(path.read_text())["traceEvents"]
    changes = [(e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]"]
    total = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        total += change
        peak = max(peak, total)
    return peak


@pytest.mark.parametrize("form", ["stock", "fast"])
def test_the_estimate_bounds_the_allocators_peak(tiny, form, tmp_path):
    model = tiny if form == "stock" else make_fast(tiny)
    optimizer = torch.optim.Adam(tiny.parameters())
    read_peak(model, optimizer, 1, 800, tmp_path / "first.json")  # makes Adam's means
    peak = read_peak(model, optimizer, 3, 12000, tmp_path / "second.json")
    step = estimate_step_bytes(model, 12000, 3, "fp32")
    computed = step.gradients + step.activations + step.working
    assert peak <= computed <= 1.25 * peak


def test_the_page_shows_the_recorded_figures():
    result = json.loads(RESULT.read_text())
    shown = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert shown == format_tables(result)
    assert "**Computed**; what was measured stands below" in PAGE.read_text(encoding="utf-8")
