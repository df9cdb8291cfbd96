"""Fast forms, the checkpoint format, and what is refused as a checkpoint."""

import copy
import os
import pickle
import subprocess
import sys

import pytest
import torch

from separation.config.load import load_conf
from separation.config.recipes import list_recipes
from separation.errors import UserError
from separation.models import registry
from separation.models.architecture import AsteroidConf, find_training_pass
from separation.models.asteroid import import_asteroid, save_model
from separation.models.checkpoint.load import load_model
from separation.models.fast.gradients import NormOfPReLU, PointwiseProduct, ShiftedProducts
from separation.models.fast.layers import FastForm, make_fast
from separation.models.registry import build_model, list_models
from tests.conftest import ROOT
from tests.support.small_models import NAMES, RECIPE, build_small, list_small

SMALL = ["model.n_filters=32", "model.bn_chan=16", "model.hid_chan=24", "model.skip_chan=16"]


def make_model(*overrides: str, n_src: int = 2):
    torch.manual_seed(0)
    conf = load_conf(ROOT, "mini/ConvTasNet/from_scratch", [*SMALL, *overrides])
    return build_model(conf.model, n_src, 8000)


OWN_GRADIENTS = pytest.mark.parametrize("own_gradients", [False, True])


@OWN_GRADIENTS
@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_samples", [8000, 4321])
def test_fast_form_gives_asteroids_outputs_and_gradients(n_src, causal, n_samples, own_gradients):
    overrides = ["model.causal=true", "model.norm_type=cLN"] if causal else []
    model = make_model(*overrides, n_src=n_src)
    peer = copy.deepcopy(model)
    fast = make_fast(model, FastForm(depthwise=True, gradients=own_gradients))
    mixtures = torch.randn(2, n_samples)
    expected, ours = peer(mixtures), fast(mixtures)
    assert torch.allclose(ours, expected, atol=1e-5)
    weights = torch.randn_like(ours)
    (expected * weights).sum().backward()
    (ours * weights).sum().backward()
    for (name, mine), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        if theirs.grad is None:  # the last block's residual goes nowhere
            assert mine.grad is None, name
            continue
        scale = theirs.grad.abs().max().clamp(min=1e-6)
        assert torch.allclose(mine.grad / scale, theirs.grad / scale, atol=2e-3), name


def list_shipped() -> list[str]:
    """One recipe for each different Conv-TasNet that is shipped."""
    seen = {}
    for recipe in list_recipes(ROOT):
        conf = load_conf(ROOT, recipe, [])
        if conf.model.name == "ConvTasNet":
            seen.setdefault((str(conf.model), conf.audio.sample_rate), recipe)
    return list(seen.values())


def compare_gradients(model, peer) -> float:
    """Norm of the difference of all gradients together, relative to their norm.

    Tensor by tensor it would mean little: some gradients are zero but for rounding.
    """
    pairs = zip(model.parameters(), peer.parameters(), strict=True)
    kept = [(mine.grad, theirs.grad) for mine, theirs in pairs if theirs.grad is not None]
    apart = sum(float((mine - theirs).square().sum()) for mine, theirs in kept)
    return (apart / sum(float(theirs.square().sum()) for _, theirs in kept)) ** 0.5


@OWN_GRADIENTS
@pytest.mark.parametrize("recipe", list_shipped())
@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_every_shipped_configuration_equals_asteroids(recipe, causal, n_src, own_gradients):
    """Float32 within 1e-4 of the largest output, gradients together within 0.5 % of their norm."""
    overrides = ["model.causal=true", "model.norm_type=cLN"] if causal else []
    conf = load_conf(ROOT, recipe, overrides)
    torch.manual_seed(0)
    model = build_model(conf.model, n_src, conf.audio.sample_rate)
    peer = copy.deepcopy(model)
    mixtures = torch.randn(1, 3001)
    fast = make_fast(model, FastForm(depthwise=True, gradients=own_gradients))
    expected, ours = peer(mixtures), fast(mixtures)
    scale = expected.abs().max()
    assert (ours - expected).abs().max() < 1e-4 * scale
    weights = torch.randn_like(ours)
    (expected * weights).sum().backward()
    (ours * weights).sum().backward()
    assert compare_gradients(model, peer) < 0.005


@pytest.mark.parametrize(("padding", "dilation"), [(1, 1), (4, 4), (8, 4), (0, 3)])
def test_written_gradients_are_those_of_the_formulas(padding, dilation):
    """Finite differences in float64, for padding as in the middle, causal, and without."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 13, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 3, dtype=torch.float64, requires_grad=True)
    square = torch.randn(4, 3, 1, dtype=torch.float64, requires_grad=True)
    bias, wide = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    gamma = torch.randn(3, dtype=torch.float64, requires_grad=True)
    slope = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    depthwise = (x, weight, bias, padding, dilation)
    assert torch.autograd.gradcheck(ShiftedProducts.apply, depthwise)
    assert torch.autograd.gradcheck(PointwiseProduct.apply, (x, square, wide))
    for keep in (None, (torch.arange(13) < 11).double()):
        inputs = (x, slope, gamma, bias, keep)
        assert torch.autograd.gradcheck(lambda *given: NormOfPReLU.apply(*given)[0], inputs)


@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_bf16_autocast_stays_near_asteroids_float32(causal, n_src):
    """Outputs within 5 %, gradients together within 15 % of their norms: bf16 has 8 bits."""
    overrides = ["model.causal=true", "model.norm_type=cLN"] if causal else []
    model = make_model(*overrides, n_src=n_src)
    peer = copy.deepcopy(model)
    mixtures = torch.randn(2, 4321)
    with torch.autocast("cpu", torch.bfloat16):
        ours = make_fast(model, FastForm(depthwise=True))(mixtures).float()
    expected = peer(mixtures)
    assert (ours - expected).norm() / expected.norm() < 0.05
    weights = torch.randn_like(ours)
    (expected * weights).sum().backward()
    (ours * weights).sum().backward()
    assert compare_gradients(model, peer) < 0.15


def test_saved_model_is_loaded_by_asteroid_itself(tmp_path):
    model = make_model().eval()
    path = tmp_path / "best_model.pth"
    save_model(model, path)
    mixtures = torch.randn(1, 8000)
    theirs = import_asteroid("models").BaseModel.from_pretrained(str(path)).eval()
    for loaded in (theirs, load_model(path), load_model(tmp_path)):
        assert torch.equal(loaded(mixtures), model(mixtures))


def test_saved_tensors_are_the_cpus(monkeypatch, tmp_path):
    """Bug: a model saved from a GPU could not be read by a plain torch.load without one."""
    moved, to_cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda own: moved.append(own) or to_cpu(own))
    model = make_model()
    save_model(model, tmp_path / "best_model.pth")
    assert len(moved) == len(model.state_dict())


def test_file_with_asteroids_own_torch_version_loads(tmp_path):
    model = make_model()
    torch.save(model.serialize(), tmp_path / "model.pth")
    assert load_model(tmp_path / "model.pth").sample_rate == 8000


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("content", ["pickle", "text", "tensor"])
def test_what_is_no_checkpoint_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    if content == "pickle":
        path.write_bytes(pickle.dumps({"model_name": _Trap()}))
    elif content == "text":
        path.write_text("not a model")
    else:
        torch.save({"weights": torch.ones(3)}, path)
    with pytest.raises(UserError, match="not a checkpoint"):
        load_model(path)
    assert not (tmp_path / "sprung").exists()


@OWN_GRADIENTS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_src", [2, 3])
def test_every_model_trains_in_the_fast_form_and_travels(name, n_src, own_gradients, tmp_path):
    """Outputs and gradients of the fast form, saved, and loaded by us, and by Asteroid if its."""
    model = build_small(name, n_src)
    peer = copy.deepcopy(model)
    mixtures = torch.randn(2, 4321)
    fused = list_models()[name].fused
    form = FastForm(norms=fused, depthwise=fused, gradients=own_gradients and fused)
    fast = make_fast(model, form)
    expected, ours = (find_training_pass(each)(mixtures) for each in (peer, fast))
    assert fast(mixtures).shape == ours.shape[-3:] == (2, n_src, 4321)
    assert torch.allclose(ours, expected, atol=1e-5)
    expected.square().sum().backward()
    ours.square().sum().backward()
    idle = []
    for (key, mine), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        if theirs.grad is None:  # such as the last block's residual, which goes nowhere
            assert mine.grad is None
            idle.append(key)
            continue
        scale = theirs.grad.abs().max().clamp(min=1e-6)
        assert torch.allclose(mine.grad / scale, theirs.grad / scale, atol=2e-3), key
    assert len(idle) <= 2, idle
    save_model(model, tmp_path / "best_model.pth")
    found = [load_model(tmp_path)]
    if issubclass(list_models()[name], AsteroidConf):
        base_model = import_asteroid("models").BaseModel
        found.append(base_model.from_pretrained(str(tmp_path / "best_model.pth")).eval())
    for loaded in found:
        assert torch.equal(loaded(mixtures), model.eval()(mixtures))
        assert type(loaded) is type(model) and loaded.sample_rate == 8000


@pytest.mark.parametrize("name", NAMES)
def test_every_model_works_in_bf16_or_says_that_it_does_not(name):
    """A step under autocast, as ``training.precision=bf16`` does it, near that in float32."""
    kind = list_models()[name]
    if not kind.bf16:
        with pytest.raises(UserError, match="works in float32 only"):
            load_conf(ROOT, RECIPE, [*list_small(name), "training.precision=bf16"])
        return
    model = build_small(name)
    peer = copy.deepcopy(model)
    mixtures = torch.randn(2, 4321)
    with torch.autocast("cpu", torch.bfloat16):
        ours = find_training_pass(make_fast(model, FastForm()))(mixtures).float()
    expected = find_training_pass(peer)(mixtures)
    assert (ours - expected).norm() / expected.norm() < 0.1
    weights = torch.randn_like(ours)
    (expected * weights).sum().backward()
    (ours * weights).sum().backward()
    assert compare_gradients(model, peer) < 0.3


def test_listing_the_models_imports_neither_torch_nor_asteroid():
    code = (
        "import sys; from separation.models.registry import list_models; list_models();"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'asteroid'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_model_without_defaults_is_named(monkeypatch):
    models = list_models() | {"Nameless": list_models()["ConvTasNet"]}
    monkeypatch.setattr(registry, "list_models", lambda: models)
    with pytest.raises(UserError, match="Nameless has no defaults: add them to conf/default"):
        load_conf(ROOT, "folder/STFTMask", ["model.name=Nameless"])


@pytest.mark.parametrize("n_samples", [8000, 4321, 100])
def test_stft_gives_an_unmasked_signal_back(n_samples):
    model = build_small("STFTMask")
    wav = torch.randn(2, 1, n_samples)
    frames = model.forward_encoder(wav)
    ones = torch.ones(2, 2, frames.shape[1] // 2, frames.shape[2])
    decoded = model.forward_decoder(model.apply_masks(frames, ones))
    assert torch.allclose(decoded[..., :n_samples], wav.expand(-1, 2, -1), atol=1e-5)
    names = [name for name, _ in model.named_parameters()]
    assert names and all(name.startswith("masker.") for name in names)  # nothing else is trained


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["model.name=Conv"], "choose one of ConvTasNet, DPRNNTasNet"),
        (["model.n_filters=64"], r"\(STFTMask\): unknown key model.n_filters"),
        (["model.name=ConvTasNet", "model.window_s=0.03"], r"\(ConvTasNet\): unknown key"),
        (["model.window_s=0.03"], "use model.hop_s=0.0075"),
        (["model.name=SuDORMRFNet", "model.kernel_size=20"], "use model.kernel_size=21"),
        (["model.name=DPRNNTasNet", "model.hop_size=200"], "use model.hop_size=50"),
        (["model.name=DPRNNTasNet", "model.norm_type=BN"], "choose one of gLN, cLN"),
        (["model.mask_act=step"], "model.mask_act=step is unknown"),
    ],
)
def test_keys_that_a_model_does_not_take_are_refused(sets, message):
    with pytest.raises(UserError, match=message):
        load_conf(ROOT, "folder/STFTMask", sets)


def test_config_of_an_older_conv_tasnet_experiment_is_the_same():
    """Its conf.yml holds these keys and no others, and its stage keys hash them."""
    model = load_conf(ROOT, "mini/ConvTasNet", []).section("model")["model"]
    assert list(model) == [
        *("name", "n_filters", "kernel_size", "stride", "kernel_rate", "bn_chan", "hid_chan"),
        *("skip_chan", "conv_kernel_size", "n_blocks", "n_repeats", "mask_act", "norm_type"),
        "causal",
    ]


def test_stft_keeps_its_length_in_seconds():
    conf = load_conf(ROOT, "librimix/STFTMask", []).model
    for rate, window, hop in ((8000, 256, 64), (16000, 512, 128), (44100, 1412, 353)):
        arguments = conf.arguments(rate)
        assert (arguments["kernel_size"], arguments["stride"]) == (window, hop)
    assert conf.receptive_field() is None
    odd = load_conf(ROOT, "folder/STFTMask", ["model.window_s=0.024"]).model
    with pytest.raises(UserError, match="windows of 195 samples at 8125 Hz"):
        odd.arguments(8125)


def test_a_model_is_saved_as_the_cpus_tensors(tmp_path, monkeypatch):
    """Bug: one trained on a GPU could not be read by a plain torch.load without one."""
    model, moved = build_small("ConvTasNet"), []

    def move(tensor: torch.Tensor) -> torch.Tensor:
        moved.append(tuple(tensor.shape))
        return tensor + 1

    monkeypatch.setattr(torch.Tensor, "cpu", move)
    save_model(model, tmp_path / "best_model.pth")
    monkeypatch.undo()
    stored = torch.load(tmp_path / "best_model.pth", weights_only=True)["state_dict"]
    for name, value in model.state_dict().items():
        assert torch.equal(stored[name], value + 1), name
    assert len(moved) == len(stored)
