"""The piece of a batch that fits, found with real steps on a card that is pretended."""

import copy

import pytest
import torch

from separation.errors import UserError
from separation.training.distributed import Ranks
from separation.training.memory import fit_micro_batch
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
    return fit_micro_batch(conf, module, Ranks(conf.training, torch.device("cpu"))), module, card


@pytest.mark.parametrize(("room", "expected"), [(8, 0), (7, 4), (2, 2), (1, 1)])
def test_the_largest_piece_that_fits_is_taken(room, expected):
    conf, _, card = fit(room)
    assert conf.training.micro_batch == expected
    assert conf.training.batch_size == 8
    assert card.seen[0] == (8, 2000)


def test_a_piece_that_is_asked_for_is_not_tried():
    conf, _, card = fit(1, micro_batch=4)
    assert conf.training.micro_batch == 4 and card.seen == []


def test_trying_leaves_weights_and_random_numbers_alone():
    torch.manual_seed(3)
    conf = make_conf(batch_size=4)
    module = SeparationModule(make_model(conf), conf.training)
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    fit_micro_batch(conf, module, Ranks(conf.training, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())


def test_no_room_for_a_single_mixture_is_one_sentence():
    with pytest.raises(UserError, match=r"batch_size=8: not even one mixture fits"):
        fit(0)
