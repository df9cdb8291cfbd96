import pytest

from separation.config.load import list_differences, load_conf
from separation.errors import UserError
from tests.conftest import ROOT

RECIPES = sorted(str(p.parent.relative_to(ROOT / "egs")) for p in ROOT.glob("egs/*/*/conf.yml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_shipped_recipe_builds_its_model(recipe):
    import torch

    from separation.models.registry import build_model

    conf = load_conf(ROOT, recipe, [])
    model = build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate)
    assert model(torch.randn(1, 8000)).shape == (1, conf.mixtures.n_src, 8000)


def test_small_configuration_has_the_published_number_of_parameters():
    from separation.models.registry import build_model

    conf = load_conf(ROOT, "mini/ConvTasNet", ["model.kernel_size=40", "model.stride=20"])
    model = build_model(conf.model, 2, 8000)
    assert sum(p.numel() for p in model.parameters()) == 1_472_157


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batchsize=3", "did you mean training.batch_size"),
        ("trainning.lr=3", "did you mean training"),
        ("training.lr=fast", "should be a float"),
        ("training.epochs=2.5", "should be a int"),
        ("model.stride=30", "use model.stride=32"),
        ("model.causal=true", "cLN"),
        ("training.precision=fp8", "choose one of"),
        ("lr=1", "section.key=value"),
        ("training.lr=[1", r"--set training.lr=\[1: is not valid YAML"),
    ],
)
def test_mistakes_are_named_with_the_fix(override, message):
    with pytest.raises(UserError, match=message):
        load_conf(ROOT, "mini/ConvTasNet", [override])


def test_scientific_notation_and_switches_are_understood():
    conf = load_conf(ROOT, "mini/ConvTasNet", ["training.lr=1e-4", "training.compile=off"])
    assert conf.training.lr == 1e-4 and conf.training.compile == "off"


def test_receptive_field_is_that_of_the_paper():
    conf = load_conf(ROOT, "mini/ConvTasNet", ["model.kernel_size=40", "model.stride=20"])
    assert conf.model.receptive_field() / 8000 == pytest.approx(1.28, abs=0.01)


def test_differences_name_key_and_values():
    assert list_differences({"a": {"x": 1}}, {"a": {"x": 2}}) == ["a.x: 1 -> 2"]
