"""Recipes resolve to the very configs that they had at commit fde655c, where each conf.yml held the
keys of its data set; and the data set of a recipe stands in one file."""

import pytest
import yaml

from benchmarks.config_reference import describe_case
from separation.config.load import load_conf
from separation.experiment.open import DATA_SECTIONS
from separation.files import read_json
from tests.conftest import ROOT

REFERENCE = read_json(ROOT / "tests" / "data" / "conf_reference.json")
NOW = {"mini/ConvTasNet": "mini/ConvTasNet/from_scratch"}  # the recipe itself is fine-tuned
DATA_KEYS = {*DATA_SECTIONS, "audio"}


@pytest.mark.parametrize("case", REFERENCE)
def test_resolved_configs_are_those_of_before(case):
    recipe, *overrides = case.split()
    conf = load_conf(ROOT, NOW.get(recipe, recipe), overrides)
    sections = conf.section(*conf.as_dict())
    assert sections["training"]["cuda_graphs"] == "auto"
    sections["training"]["cuda_graphs"] = False  # a key of the machine, off until it was measured
    assert describe_case(sections) == REFERENCE[case]


def read_sections(path) -> set[str]:
    return set(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_data_set_of_a_recipe_is_in_one_file():
    """``egs/<mix>/conf.yml`` has data keys and no others; a data variant says that it is one."""
    for path in sorted((ROOT / "egs").glob("*/conf.yml")):
        assert read_sections(path) <= DATA_KEYS, path
    for path in sorted((ROOT / "egs").glob("*/*/*.yml")):
        assert (path.parents[1] / "conf.yml").is_file(), path
        says_so = path.read_text(encoding="utf-8").startswith("# A data variant")
        is_variant = path.name != "conf.yml"
        assert bool(read_sections(path) & DATA_KEYS) == (is_variant and says_so), path
