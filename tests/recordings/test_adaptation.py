"""A model that learns the voices of a recording: from what, to which bits, what it is worth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from asteroid.models import ConvTasNet, LSTMTasNet

from separation.errors import UserError
from separation.models import shipped
from separation.models.checkpoint.load import open_model
from separation.recordings import adaptation
from separation.recordings.adaptation import (
    Learner,
    adapt_model,
    allows_adaptation,
    draw_mixtures,
    find_solo,
    read_voices,
)
from separation.recordings.chunks import StoredEstimates
from separation.recordings.job import Settings
from separation.recordings.stretches import order_outputs
from separation.recordings.turns import FIRST, SECOND, Turns

CPU, RATE, TICKS = torch.device("cpu"), 8000, 600


@pytest.fixture
def turns() -> Turns:
    """Two voices in turns of two seconds, for a minute."""
    states = np.zeros((TICKS, 4))
    states[np.arange(TICKS), np.where(np.arange(TICKS) // 20 % 2, SECOND, FIRST)] = 1
    return Turns(states=states, centres=np.eye(2, 64))


@pytest.fixture
def stored(tmp_path: Path) -> StoredEstimates:
    """Two tones of other pitches in those turns."""
    place = np.arange(TICKS * RATE // 10)
    pitch = np.where(place // (2 * RATE) % 2, 1500, 300)
    mixture = 0.1 * np.sin(2 * np.pi * pitch * place / RATE)
    mixture.astype(np.float32).tofile(tmp_path / "mixture.f32")
    return StoredEstimates(
        mixture=tmp_path / "mixture.f32",
        estimates=tmp_path / "estimates.f32",
        state=tmp_path / "state.npz",
        rate=RATE,
    )


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"n_blocks": 2, "n_repeats": 1, "bn_chan": 16, "hid_chan": 32, "skip_chan": 16}
    ends = {"n_filters": 32, "kernel_size": 32, "stride": 16}
    return ConvTasNet(2, sample_rate=RATE, **sizes, **ends).eval()


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr(adaptation, "N_STEPS", 60)
    monkeypatch.setattr(adaptation, "STEPS_KEPT", 10)
    monkeypatch.setattr(adaptation, "SEGMENT_S", 0.5)


def test_pieces_are_of_one_voice_and_some_are_kept_apart(stored, turns):
    voices = read_voices(stored, turns)
    assert find_solo(turns, 0)[:2] == [(1, 19), (41, 59)]
    assert voices.suffice
    for of_both, n_pieces in ((voices.learned, 12), (voices.scored, 3)):
        assert [len(pieces) for pieces in of_both] == [n_pieces, n_pieces]
        for pieces, pitch in zip(of_both, (300, 1500), strict=True):
            for piece in pieces:
                spectrum = np.abs(np.fft.rfft(piece))
                assert abs(spectrum.argmax() * RATE / len(piece) - pitch) < 2


def test_of_hours_an_even_part_is_learned(stored, turns, monkeypatch):
    whole = read_voices(stored, turns)
    monkeypatch.setattr(adaptation, "LONGEST_S", 15.0)
    voices = read_voices(stored, turns)
    assert whole.solo_s == (21.6, 21.6)
    assert all(8 < seconds <= 15 for seconds in voices.solo_s)


def test_mixtures_do_not_depend_on_those_before(stored, turns):
    pieces = read_voices(stored, turns).learned
    drawn = draw_mixtures(pieces, 3, 6000, (1, 2))
    assert drawn.shape == (3, 2, 6000)
    assert torch.equal(drawn, draw_mixtures(pieces, 3, 6000, (1, 2)))
    assert not torch.equal(drawn, draw_mixtures(pieces, 3, 6000, (1, 3)))


def test_the_copy_learns_the_voices_in_order_and_the_model_stays(stored, turns, model):
    before = [value.clone() for value in model.state_dict().values()]
    adapted, found = adapt_model(model, stored, turns, CPU, "x")
    assert found is not None
    assert found.is_used
    assert adapted is not model
    assert not adapted.training
    assert found.after_db > found.before_db + 10
    assert all(map(torch.equal, before, model.state_dict().values()))
    mixture = draw_mixtures(read_voices(stored, turns).scored, 1, 4000, (9,)).sum(1)
    with torch.inference_mode():
        first, second = adapted(mixture)[0]
    low, high = (np.abs(np.fft.rfft(x.numpy()))[[150, 750]] for x in (first, second))  # 2 Hz each
    assert low[0] / low[1] > 2 * high[0] / high[1]


def test_killed_in_the_middle_it_goes_on_to_the_same_weights(stored, turns, model, monkeypatch):
    whole, _ = adapt_model(model, stored, turns, CPU, "x")
    (kept,) = stored.state.parent.glob("voices-*.pth")
    kept.unlink()
    step = Learner._take_step

    def take_step(self: Learner, number: int) -> None:
        if number == 14:
            raise KeyboardInterrupt
        step(self, number)

    monkeypatch.setattr(Learner, "_take_step", take_step)
    with pytest.raises(KeyboardInterrupt):
        adapt_model(model, stored, turns, CPU, "x")
    taken = []
    monkeypatch.setattr(Learner, "_take_step", lambda self, n: (taken.append(n), step(self, n)))
    again, _ = adapt_model(model, stored, turns, CPU, "x")
    assert taken == list(range(10, 60))
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


def test_a_damaged_file_of_what_was_learned_is_learned_anew(stored, turns, model):
    whole, _ = adapt_model(model, stored, turns, CPU, "x")
    (kept,) = stored.state.parent.glob("voices-*.pth")
    kept.write_bytes(b"\x80\x02a.")
    again, _ = adapt_model(model, stored, turns, CPU, "x")
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


def test_a_copy_that_is_no_better_is_dropped(stored, turns, model, monkeypatch):
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 0.0)
    kept, found = adapt_model(model, stored, turns, CPU, "x")
    assert kept is model
    assert found is not None
    assert not found.is_used
    assert found.after_db <= found.before_db  # in order against the better order


def test_of_too_little_of_one_voice_nothing_is_learned(stored, turns, model):
    turns.states[100:, FIRST] = 0
    assert adapt_model(model, stored, turns, CPU, "x") == (model, None)
    assert not list(stored.state.parent.glob("voices-*"))


def test_which_models_are_adapted_unasked(model, tmp_path):
    assert allows_adaptation(open_model(shipped.NAME).model, CPU)
    sizes = {"hid_size": 8, "n_layers": 1, "n_filters": 8, "kernel_size": 16, "stride": 8}
    lstm = LSTMTasNet(2, sample_rate=RATE, **sizes)
    assert not allows_adaptation(lstm, CPU)
    assert not allows_adaptation(ConvTasNet(3, sample_rate=RATE), CPU)
    assert not allows_adaptation(ConvTasNet(2, sample_rate=16000), CPU)  # 5 GMAC and more
    for mode, adapt, expected in (("overlap", "on", "off"), ("auto", "off", "off")):
        settings = Settings(model=model, device=CPU, out=tmp_path, mode=mode, adapt=adapt)
        assert settings.describe()["adapt"] == expected


def test_an_onnx_file_that_should_learn_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(Settings, "way", "auto")
    model = torch.nn.Identity()  # as OnnxModel: no parameters
    model.sample_rate, model.n_src = RATE, 2
    settings = Settings(model=model, device=CPU, out=tmp_path, adapt="on")
    with pytest.raises(UserError, match=r"--adapt on: .* give the checkpoint"):
        settings.describe()


def test_learned_order_outweighs_unclear_cues():
    cues, weights = np.array([[-1.0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]), np.ones(5)
    assert order_outputs(cues, weights)[0] < 0.5
    assert (order_outputs(cues, weights, 4.0) > 0.9).all()
