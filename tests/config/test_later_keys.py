"""A key that comes later leaves what was made before it done; a conf.yml of fde655c has none."""

import dataclasses
from dataclasses import dataclass

import pytest
import yaml

from separation.config.load import build_conf, list_changes
from separation.config.training import MACHINE_KEYS
from separation.errors import UserError
from separation.files import hash_value
from separation.records import check_fields, drop_later_fields
from tests.conftest import ROOT
from tests.support.training_case import make_conf

SAVED = yaml.safe_load((ROOT / "tests" / "data" / "conf_fde655c.yml").read_text(encoding="utf-8"))
SECTIONS = ("corpus", "splits", "metadata", "mixtures", "audio", "model", "training")


def hash_training(conf) -> str:
    """As stage 4 hashes model and training, with a made-up key of the data."""
    kept = {k: v for k, v in conf.section("training")["training"].items() if k not in MACHINE_KEYS}
    return hash_value(["data", conf.section("model"), kept, "mini/ConvTasNet"])


def list_bound_changes(saved, conf) -> list[str]:
    """Without those of how a training runs, whose defaults follow what was measured."""
    free = {f"training.{key}" for key in MACHINE_KEYS}
    changes = list_changes(saved, conf, SECTIONS)
    return [change for change in changes if change.partition(":")[0] not in free]


def test_a_conf_of_before_has_the_same_key_and_no_changes():
    for conf in (make_conf(), build_conf(SAVED)):
        assert hash_training(conf) == "68c3c30826dae378"  # as the code of fde655c gives it
        assert list_bound_changes(SAVED, conf) == []
    assert build_conf(SAVED).training.cuda_graphs == "off"  # false in the file


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"loss": "snr"}, "training.loss: si_sdr -> snr"),
        ({"optimizer": "adamw"}, "training.optimizer: adam -> adamw"),
        ({"weight_decay": 0.1}, "training.weight_decay: 0.0 -> 0.1"),
    ],
)
def test_a_later_key_with_another_value_is_a_change(change, sentence):
    conf = make_conf(**change)
    assert hash_training(conf) != "68c3c30826dae378"
    assert list_bound_changes(SAVED, conf) == [sentence]
    assert list_changes(conf.as_dict(), make_conf(), SECTIONS) != []  # nor back again unseen


def test_any_key_with_a_default_in_its_record_is_a_later_one():
    @dataclass(frozen=True, kw_only=True)
    class Section:
        old: int
        later: int = 3

    assert drop_later_fields(Section(old=1)) == {"old": 1}
    assert drop_later_fields(Section(old=1, later=4)) == {"old": 1, "later": 4}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": 0.0}, "training.lr=0.0 must be above 0."),
        ({"ema": 1.0}, "training.ema=1.0 must be at least 0 and below 1."),
        ({"loss": "mse"}, "training.loss=mse is unknown; choose one of si_sdr, snr, sd_sdr."),
        ({"epochs": "many"}, "training.epochs='many' should be a int."),
    ],
)
def test_a_field_is_compared_with_its_annotation(changes, sentence):
    with pytest.raises(UserError) as caught:
        check_fields(dataclasses.replace(make_conf().training, **changes), "training")
    assert str(caught.value) == sentence
