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

    conf = load_conf(ROOT, "folder/ConvTasNet", [])
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
        ("training.lr=[1", "training.lr='\\[1' should be a float"),
        ("splits.unseen_speakers=[a,b", "unseen_speakers=\\[a,b: is not valid YAML"),
        ("splits.unseen_speakers=&a [*a]", "should be a list"),
        ("splits.unseen_speakers=[&a [*a]]", "an alias holds itself"),
        ("training.budget_min=1:30", "'1:30' should be a float"),
        ("training.budget_min=.inf", "should be a float"),
        ("training.epochs=" + "9" * 5000, "should be a int"),
        ("training.dynamic_mixing=1", "should be a bool"),
        ("model.bn_chan=-1", "must be above 0"),
        ("model.n_repeats=0", "must be above 0"),
        ("model.n_repeats=1000000", "must be at most 200"),
        ("model.conv_kernel_size=1000000", "must be at most 2048"),
        ("model.n_blocks=20", "span 1048576 frames"),
        ("training.num_workers=1000000", "must be at most 1024"),
        ("mixtures.loudness_max_lufs=1e300", "at most 20 LUFS"),
        ("training.lr=1e300", "must be at most 100"),
    ],
)
def test_mistakes_are_named_with_the_fix(override, message):
    with pytest.raises(UserError, match=message):
        load_conf(ROOT, "mini/ConvTasNet", [override])


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("report.title=%5 noise", "%5 noise"),
        ("report.title=it's", "it's"),
        ("report.title='", "'"),
        ("report.title=no", "no"),
        ("report.title=A # b", "A # b"),
        ("report.title=[draft] x", "[draft] x"),
        ("report.title='a: b'", "a: b"),
        ("report.title=", ""),
        ("training.init_from=@best", "@best"),
        ("training.init_from=*x", "*x"),
        ("training.compile=no", "off"),
        ("training.compile=true", "on"),
        ("training.dynamic_mixing=No", False),
        ("mixtures.n_dev=010", 10),
        ("training.epochs=1_000", 1000),
        ("training.budget_min=010", 10.0),
        ("splits.unseen_speakers=[001, 002]", ["001", "002"]),
        ("splits.unseen_speakers=[1e3, no, 2024-01-01]", ["1e3", "no", "2024-01-01"]),
        ("splits.unseen_speakers=", []),
    ],
)
def test_a_value_is_what_its_author_wrote(override, value):
    """YAML read 010 as 8, 1:30 as 90, no as off; a lone quote ended in a traceback."""
    conf = load_conf(ROOT, "mini/ConvTasNet", [override])
    section, key = override.partition("=")[0].split(".")
    found = getattr(getattr(conf, section), key)
    assert found == value and type(found) is type(value)


@pytest.fixture
def own_recipes(tmp_path):
    """Writes the conf.yml of a recipe of one's own; returns the repository that holds it."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "default.yml").write_bytes((ROOT / "conf" / "default.yml").read_bytes())

    def write(text: bytes):
        folder = tmp_path / "egs" / "my" / "Model"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "conf.yml").write_bytes(text)
        return tmp_path

    return write


def test_a_conf_yml_is_read_by_the_types_of_its_keys_too(own_recipes):
    text = b"""
splits: {unseen_speakers: [001, 002], n_unseen: 010}
report: {title: 1:30}
training: {lr: 1e-3, compile: no, random_crop: no, init_from: }
model: &model {n_repeats: 3}
"""
    conf = load_conf(own_recipes(text), "my/Model", [])
    assert conf.splits.unseen_speakers == ["001", "002"] and conf.splits.n_unseen == 10
    assert (conf.report.title, conf.training.lr, conf.training.compile) == ("1:30", 0.001, "off")
    assert not conf.training.random_crop and not conf.training.init_from


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"training: {lr: 0.1}\ntraining: {lr: 0.2}", "holds the key training twice"),
        (b"training:\n  lr: 0.1\n  lr: 0.2", "holds the key lr twice"),
        (b"report: {title: \xff\xfe}", "is no text in UTF-8"),
        (b"report: {title: &a [*a]}", "an alias holds itself"),
        (BOMB.encode(), "unfolds to more than"),
        (b"report: {title: !!python/object/apply:os.system [ls]}", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
        (b"- a", "every entry must be a section"),
        (b"? [a, b]\n: {c: 1}", "(is not valid YAML|every entry must be a section)"),
        (b"training: {lr: \x00}", "is not valid YAML"),
    ],
)
def test_a_conf_yml_that_cannot_be_is_one_sentence(text, message, own_recipes):
    with pytest.raises(UserError, match=message):
        load_conf(own_recipes(text), "my/Model", [])


def test_scientific_notation_and_switches_are_understood():
    conf = load_conf(ROOT, "mini/ConvTasNet", ["training.lr=1e-4", "training.compile=off"])
    assert conf.training.lr == 1e-4 and conf.training.compile == "off"


def test_receptive_field_is_that_of_the_paper():
    conf = load_conf(ROOT, "folder/ConvTasNet", [])
    assert conf.model.receptive_field() / 8000 == pytest.approx(1.28, abs=0.01)


def test_differences_name_key_and_values():
    assert list_differences({"a": {"x": 1}}, {"a": {"x": 2}}) == ["a.x: 1 -> 2"]
