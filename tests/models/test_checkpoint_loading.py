"""Every shape of checkpoint, made with Asteroid and Lightning themselves, and what is refused."""

import dataclasses
import os
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from torch.utils.data import DataLoader

from separation.config.load import load_conf
from separation.errors import MissingInputError, UserError
from separation.files import hash_file
from separation.models import published as published_models
from separation.models.asteroid import import_asteroid, save_model
from separation.models.checkpoint.load import open_model
from separation.models.registry import build_model, list_models
from separation.training.checkpoint import write_checkpoint
from separation.training.module import SeparationModule, make_model
from tests.conftest import ROOT
from tests.support.small_models import RECIPE
from tests.support.training_case import make_conf

FILTERBANK = {"n_filters": 16, "kernel_size": 16, "stride": 8}
MASKNET = {"n_blocks": 2, "n_repeats": 1, "bn_chan": 8, "hid_chan": 8, "skip_chan": 8}
MASKNET |= {"mask_act": "relu"}
CLEAN_16K = "JorisCos/ConvTasNet_Libri2Mix_sepclean_16k"
NOISY_16K = "JorisCos/ConvTasNet_Libri2Mix_sepnoisy_16k"


def make_tasnet(n_src: int = 2, **changes):
    torch.manual_seed(0)
    models = import_asteroid("models")
    return models.ConvTasNet(n_src=n_src, **(FILTERBANK | MASKNET | changes)).eval()


def pack(model, **infos) -> dict:
    """Asteroid's own package, a TorchVersion in it; ``infos`` are added as its recipes do."""
    package = model.serialize()
    package["infos"] |= infos
    return package


def assert_same_weights(loaded, model) -> None:
    ours, theirs = loaded.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def refusal(text: object, **options) -> str:
    with pytest.raises(UserError) as caught:
        open_model(str(text), **options)
    message = str(caught.value)
    assert message.startswith(f"{text}: ") and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("zipped", [True, False])
def test_asteroids_own_file_with_torch_version_and_numpy_floats(zipped, tmp_path):
    model = make_tasnet()
    metrics = {"si_sdr": np.float64(14.75), "stoi": np.float32(0.5), "n": np.int64(3)}
    package = pack(model, final_metrics=metrics, name=np.str_("é"), ok=np.bool_(True))
    assert type(package["infos"]["software_versions"]["torch_version"]) is not str
    path = tmp_path / "model.pth"
    torch.save(package, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Exception, match="Unsupported global"):
        torch.load(path, weights_only=True)  # the trap is one
    loaded = open_model(str(path))
    assert_same_weights(loaded.model, model)
    assert not loaded.model.training
    assert (loaded.sample_rate, loaded.n_src, loaded.published) == (8000, 2, None)
    assert loaded.path == path and loaded.name == str(path) and not loaded.notes
    assert loaded.sha256 == hash_file(path)


def test_numpy_1_names_its_modules_differently(tmp_path):
    """Published files were written under NumPy 1: ``numpy.core``, which is ``numpy._core`` now."""
    path = tmp_path / "model.pth"
    values = [np.float64(14.75), np.float32(-0.5), np.dtype(">f8").type(3)]
    torch.save(pack(make_tasnet(), final_metrics=values), path)
    swap_pickle(path, b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert b"numpy._core" not in path.read_bytes()
    assert open_model(str(path)).n_src == 2


def swap_pickle(path: Path, old: bytes, new: bytes) -> None:
    """Rewrite the pickle inside a file of torch.save's, its zip archive and all."""
    with zipfile.ZipFile(path) as archive:
        members = [(item, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item, data in members:
            is_pickle = item.filename.endswith("data.pkl")
            archive.writestr(item.filename, data.replace(old, new) if is_pickle else data)


@pytest.mark.parametrize("where", ["path", "training config", "sha256"])
def test_known_lie_about_16_khz_is_corrected(where, tmp_path, monkeypatch):
    """The 16 kHz files state 8000 Hz; a copy is known by name, by its training, or by its hash."""
    model = make_tasnet(kernel_size=32, stride=16)
    assert model.sample_rate == 8000
    folder = tmp_path / (NOISY_16K if where == "path" else "copy")
    folder.mkdir(parents=True)
    config = {"data": {"sample_rate": 16000, "task": "sep_clean"}}
    infos = {"training_config": config} if where == "training config" else {}
    torch.save(pack(model, **infos), folder / "model.pth")
    if where == "sha256":
        list_as(monkeypatch, CLEAN_16K, sha256=hash_file(folder / "model.pth"))
    loaded = open_model(str(folder))
    assert loaded.sample_rate == loaded.model.sample_rate == 16000
    assert "the file states 8000 Hz" in loaded.notes[0] and "16000 Hz" in loaded.notes[0]
    names = {"path": NOISY_16K, "sha256": CLEAN_16K}
    assert (loaded.published.name if loaded.published else None) == names.get(where)


def list_as(monkeypatch, name: str, **changes) -> None:
    """Change an entry of the list, for a file that the test made."""
    entries = [
        dataclasses.replace(entry, **changes) if entry.name == name else entry
        for entry in published_models.read_published()
    ]
    monkeypatch.setattr(published_models, "read_published", lambda: tuple(entries))


@pytest.mark.parametrize("of_ours", [False, True])
def test_a_folder_of_that_name_alone_is_not_the_published_model(of_ours, tmp_path):
    """A model of one's own, published under a known short name, got the published scores."""
    folder = tmp_path / (NOISY_16K if of_ours else NOISY_16K.split("/")[1])
    folder.mkdir(parents=True)
    config = {"mixtures": {"n_src": 2}, "audio": {"sample_rate": 8000}, "model": {}}
    infos = {"training_config": config} if of_ours else {}
    torch.save(pack(make_tasnet(), **infos), folder / "pytorch_model.bin")
    loaded = open_model(str(folder))
    assert loaded.published is None and loaded.sample_rate == 8000


FINE_TUNED = ("finetuned/model.pth", "finetuned/pytorch_model.bin", "best_model.pth", "mine.ckpt")


@pytest.mark.parametrize("place", FINE_TUNED)
@pytest.mark.parametrize("of_cache", [False, True])
def test_a_fine_tuned_file_below_a_clone_is_not_the_published_model(of_cache, place, tmp_path):
    """Any folder above it counted: it got the published scores, and their rate."""
    snapshot = Path("models--" + NOISY_16K.replace("/", "--")) / "snapshots" / ("a" * 40)
    path = tmp_path / (snapshot if of_cache else NOISY_16K) / place
    path.parent.mkdir(parents=True)
    torch.save(pack(make_tasnet()), path)
    loaded = open_model(str(path))
    assert loaded.published is None and loaded.sample_rate == 8000


@pytest.mark.parametrize("case", ["other file", "three speakers"])
def test_a_name_alone_does_not_change_a_rate_where_it_is_not_certain(case, tmp_path):
    """A file of another hash than the published one, and one of another number of speakers."""
    name = CLEAN_16K if case == "other file" else NOISY_16K
    path = tmp_path / (name.split("/")[1] + ".pth")
    torch.save(pack(make_tasnet(n_src=2 if case == "other file" else 3)), path)
    loaded = open_model(str(path))
    assert loaded.sample_rate == 8000 and loaded.published is None and not loaded.notes


def test_file_without_a_rate_gets_asteroids_default(tmp_path):
    package = pack(make_tasnet())
    del package["model_args"]["sample_rate"]
    torch.save(package, tmp_path / "model.pth")
    loaded = open_model(str(tmp_path / "model.pth"))
    assert loaded.sample_rate == 8000 and "states no sample rate" in loaded.notes[0]


def import_system():
    """Asteroid's System; its package also wants torch_optimizer, which nothing here installs."""
    home = Path(import_asteroid("models").__file__).parents[1] / "engine"
    package = types.ModuleType("asteroid.engine")
    package.__path__ = [str(home)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "asteroid.engine", package)
        patch.delitem(sys.modules, "asteroid.engine.system", raising=False)
        return import_asteroid("engine.system").System


def make_system(config):
    """Asteroid's System as its recipes build it, ready to train."""
    model = make_tasnet(sample_rate=16000)
    losses = import_asteroid("losses")
    loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    items = [(torch.randn(800), torch.randn(2, 800)) for _ in range(2)]
    loader = DataLoader(items, batch_size=1)
    return import_system()(model, optimizer, loss, loader, loader, scheduler, config)


@pytest.fixture(scope="module")
def lightning_files(tmp_path_factory) -> dict[bool, tuple[Path, dict]]:
    """Checkpoints of Lightning's own Trainer, with and without Asteroid's config in them."""
    config = {
        "data": {"n_src": 2, "sample_rate": 16000, "train_dir": "data/x"},
        "filterbank": dict(FILTERBANK),
        "masknet": dict(MASKNET),
        "training": {"epochs": 1, "half_lr": None, "betas": [0.9, 0.999]},
    }
    files = {}
    for has_config in (True, False):
        folder = tmp_path_factory.mktemp("lightning")
        system = make_system(config if has_config else None)
        keep = pl.callbacks.ModelCheckpoint(folder / "checkpoints", monitor="val_loss")
        stop = pl.callbacks.EarlyStopping(monitor="val_loss")
        logger = pl.loggers.CSVLogger(folder)
        trainer = pl.Trainer(
            max_epochs=1, accelerator="cpu", callbacks=[keep, stop], logger=logger,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(system)
        files[has_config] = (Path(keep.best_model_path), dict(system.model.state_dict()))
    (files[False][0].parents[1] / "spare.yml").write_text(yaml.safe_dump(config))
    return files


def test_lightning_checkpoint_of_asteroids_system(lightning_files):
    path, weights = lightning_files[True]
    loaded = open_model(str(path))
    assert all(torch.equal(value, weights[key]) for key, value in loaded.model.state_dict().items())
    assert (loaded.sample_rate, loaded.n_src) == (16000, 2)
    assert "training step 2" in loaded.notes[0]


def test_lightning_checkpoint_without_config_reads_the_conf_yml_above_it(lightning_files):
    path, weights = lightning_files[False]
    message = refusal(path)
    assert "no conf.yml lies beside" in message and "best_model.pth" in message
    spare = path.parents[1] / "spare.yml"
    spare.rename(path.parents[1] / "conf.yml")
    loaded = open_model(str(path))
    assert all(torch.equal(value, weights[key]) for key, value in loaded.model.state_dict().items())
    assert any("conf.yml" in note for note in loaded.notes) and loaded.sample_rate == 16000


def test_old_lightning_checkpoint_names_its_callbacks(tmp_path):
    """Lightning 1 keyed the callbacks' states by their classes and kept a Namespace."""
    import argparse

    config = {"filterbank": FILTERBANK, "masknet": MASKNET | {"n_src": 2}, "data": {}}
    model = make_tasnet()
    content = {
        "state_dict": {f"model.{key}": value for key, value in model.state_dict().items()},
        "callbacks": {pl.callbacks.ModelCheckpoint: {"best_model_score": torch.tensor(1.0)}},
        "hyper_parameters": argparse.Namespace(lr=1e-3),
        "training_config": config | {"main_args": {"exp_dir": Path("exp/x"), "help": None}},
        "global_step": 7,
    }
    torch.save(content, tmp_path / "epoch=1.ckpt")
    loaded = open_model(str(tmp_path / "epoch=1.ckpt"))
    assert_same_weights(loaded.model, model)


CLASSES = {
    "lightning.fabric.utilities.data.AttributeDict": dict,
    "lightning.pytorch.utilities.parsing.AttributeDict": dict,
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint": object,
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping": object,
}


@pytest.mark.parametrize("named", CLASSES)
def test_lightning_under_its_other_name(named, tmp_path, monkeypatch):
    """The package ``lightning``, not installed here, has ``pytorch_lightning``'s classes."""
    home, _, name = named.rpartition(".")
    value_class = type(name, (CLASSES[named],), {"__module__": home, "__qualname__": name})
    config = {"filterbank": FILTERBANK, "masknet": MASKNET | {"n_src": 2}, "data": {}}
    model = make_tasnet()
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    content = {"state_dict": weights, "training_config": config, "value": value_class()}
    with monkeypatch.context() as patch:
        parts = home.split(".")
        for end in range(1, len(parts) + 1):
            parent = ".".join(parts[:end])
            patch.setitem(sys.modules, parent, types.ModuleType(parent))
        setattr(sys.modules[home], name, value_class)
        torch.save(content, tmp_path / "epoch=1.ckpt")
    assert named.encode() in (tmp_path / "epoch=1.ckpt").read_bytes().replace(b"\n", b".")
    assert_same_weights(open_model(str(tmp_path / "epoch=1.ckpt")).model, model)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.model."]
)
@pytest.mark.parametrize("is_lightning", [False, True])
def test_weights_of_a_wrapped_model(is_lightning, prefix, tmp_path):
    """torch.compile and DDP rename all weights, which were refused as unknown."""
    model = make_tasnet()
    plain = model.state_dict()
    if is_lightning:
        stem = f"model.{prefix}" if "model" not in prefix else prefix
        config = {"filterbank": FILTERBANK, "masknet": MASKNET | {"n_src": 2}, "data": {}}
        content = {"training_config": config, "state_dict": {stem + k: v for k, v in plain.items()}}
    else:
        stem = prefix.removesuffix("model.")
        content = pack(model) | {"state_dict": {stem + k: v for k, v in plain.items()}}
    torch.save(content, tmp_path / "model.ckpt")
    assert_same_weights(open_model(str(tmp_path / "model.ckpt")).model, model)


def test_a_compiled_part_of_a_model(tmp_path):
    model = make_tasnet()
    weights = {k.replace("masker.", "masker._orig_mod."): v for k, v in model.state_dict().items()}
    torch.save(pack(model) | {"state_dict": weights}, tmp_path / "model.pth")
    assert_same_weights(open_model(str(tmp_path / "model.pth")).model, model)


@pytest.fixture
def experiment(tmp_path) -> Path:
    """An experiment folder as a training that is under way leaves it, but for best_model.pth."""
    conf = make_conf()
    module = SeparationModule(make_model(conf), conf.training)
    state = {"state_dict": module.state_dict(), "step": 12, "stepper": {}, "plateau": {}}
    write_checkpoint(tmp_path / "checkpoints" / "last.ckpt", state)
    (tmp_path / "conf.yml").write_text(yaml.safe_dump(conf.as_dict()))
    return tmp_path


def test_own_training_checkpoint_takes_its_conf_yml(experiment):
    path = experiment / "checkpoints" / "last.ckpt"
    loaded = open_model(str(path))
    state = torch.load(path, weights_only=True)["state_dict"]
    own = {f"model.{key}": value for key, value in loaded.model.state_dict().items()}
    assert all(torch.equal(value, state[key]) for key, value in own.items())
    assert loaded.sample_rate == make_conf().audio.sample_rate
    assert "training step 12" in loaded.notes[0] and "conf.yml" in loaded.notes[1]
    message = refusal(experiment)
    assert "no such checkpoint in this folder" in message and "last.ckpt" in message


@pytest.mark.parametrize("name", ["best_model.pth", "pytorch_model.bin", "model.pth"])
def test_folders_and_bare_weights(name, experiment):
    model = make_model(make_conf()).eval()
    save_model(model, experiment / name)
    assert_same_weights(open_model(str(experiment)).model, model)
    torch.save(model.state_dict(), experiment / "weights.th")
    assert_same_weights(open_model(str(experiment / "weights.th")).model, model)


def test_cache_of_the_hub_as_a_folder(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / ("models--" + NOISY_16K.replace("/", "--"))
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    torch.save(pack(make_tasnet(kernel_size=32, stride=16)), snapshot / "pytorch_model.bin")
    assert open_model(str(folder)).sample_rate == 16000  # one snapshot, no refs
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for path in (folder, snapshot, snapshot / "pytorch_model.bin"):
        assert open_model(str(path)).published.name == NOISY_16K


def test_a_path_that_exists_wins_over_a_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "JorisCos").mkdir()
    torch.save(pack(make_tasnet()), tmp_path / CLEAN_16K)
    assert open_model(CLEAN_16K).path == Path(CLEAN_16K)


class Trap:
    """Would make a folder where it is unpickled."""

    def __init__(self, call, *arguments) -> None:
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


CALLS = {
    "posix.mkdir": (os.mkdir, "sprung"),
    "eval": (eval, "__import__('os').mkdir('sprung')"),
    "posix.system": (os.system, "mkdir sprung"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("named", CALLS)
def test_malicious_pickle_is_refused_and_never_run(named, zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = pack(make_tasnet(), note=Trap(*CALLS[named]))
    torch.save(package, "model.pth", _use_new_zipfile_serialization=zipped)
    message = refusal("model.pth")
    assert f"asks to run {named}," in message and "--trust-checkpoint" in message
    assert not Path("sprung").exists()
    assert open_model("model.pth", trust=True).n_src == 2  # the trap was set
    assert Path("sprung").exists()


def test_what_is_called_is_not_what_the_file_names(tmp_path, monkeypatch):
    """Stand-ins are, in place of the named functions, which a file could misuse."""
    called: list = []
    torch.save(pack(make_tasnet(), value=np.float64(2.5)), tmp_path / "model.pth")
    monkeypatch.setattr(np._core.multiarray, "scalar", called.append)
    assert open_model(str(tmp_path / "model.pth")).n_src == 2 and not called


def test_stand_ins_refuse_what_is_no_number(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(pack(make_tasnet(), value=np.datetime64("2020-01-01")), path)
    assert "is not a checkpoint" in refusal(path)
    torch.save(pack(make_tasnet(), value=np.ones(3)), path)
    assert "asks to run numpy._core.multiarray._reconstruct" in refusal(path)


WRONG = {
    "web page": (b"\n<!DOCTYPE html><html><title>Log in</title></html>", "a web page saved"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:8d97\n", "git lfs pull"),
    "empty": (b"", "an empty file"),
    "text": (b"not a model", "torch reads"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}", "a safetensors file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_checkpoint_is_told(kind, tmp_path):
    content, sentence = WRONG[kind]
    (tmp_path / "model.pth").write_bytes(content)
    message = refusal(tmp_path / "model.pth")
    assert "is not a checkpoint" in message and sentence in message


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.9, 0.999])
def test_cut_off_file(zipped, share, tmp_path):
    path = tmp_path / "model.pth"
    torch.save(pack(make_tasnet()), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    assert ("the end is missing" if zipped else "it is cut off") in refusal(path)


def change(package: dict, case: str) -> object:
    """One thing wrong with a package."""
    weights, arguments = dict(package["state_dict"]), dict(package["model_args"])
    first = next(key for key in weights if key.startswith("masker.TCN"))
    match case:
        case "shape":
            weights[first] = weights[first][:-1]
        case "nan":
            weights[first] = weights[first] * float("nan")
        case "complex":
            weights[first] = weights[first].to(torch.complex64)
        case "meta":
            weights[first] = weights[first].to("meta")
        case "numbered":
            return package | {"state_dict": {1: torch.ones(1)}}
        case "lacks":
            del weights[first]
        case "spare":
            weights["masker.spare"] = torch.ones(1)
        case "class":
            return package | {"model_name": "NoSuchNet"}
        case "module":
            return package | {"model_name": "base_models"}
        case "arguments":
            del arguments["n_src"]
        case "no arguments":
            return {"model_name": "ConvTasNet", "state_dict": weights}
        case "list":
            return [1, 2]
        case "other":
            return {"hello": 1}
        case "nothing":
            return {}
        case "not tensors":
            return package | {"state_dict": {"masker.a": 1}}
        case "no speakers":
            return pack(import_asteroid("models").DeMask())
    return package | {"state_dict": weights, "model_args": arguments}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("shape", "has the shape (7, 8, 1), not (8, 8, 1) as its arguments say"),
        ("nan", "masker.TCN.0.shared_block.0.weight holds NaN, infinite, complex or no numbers"),
        ("complex", "holds NaN, infinite, complex or no numbers"),
        ("meta", "holds NaN, infinite, complex or no numbers"),
        ("numbered", "its model_args or state_dict is of another kind"),
        ("lacks", "it lacks masker.TCN.0.shared_block.0.weight, which a ConvTasNet has"),
        ("spare", "it has masker.spare, which a ConvTasNet has not"),
        ("class", "Asteroid has no model called NoSuchNet"),
        ("module", "Asteroid has no model called base_models"),
        ("arguments", "missing 1 required positional argument: 'n_src'"),
        ("no arguments", "it has no model_args"),
        ("list", "it holds a list"),
        ("other", "it holds hello"),
        ("nothing", "it holds nothing"),
        ("not tensors", "its model_args or state_dict is of another kind"),
        ("no speakers", "is a DeMask, which does not separate speakers"),
    ],
)
def test_what_does_not_fit_is_named(case, sentence, tmp_path):
    torch.save(change(pack(make_tasnet()), case), tmp_path / "model.pth")
    assert sentence in refusal(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/no/such/best_model.pth", "check the path"),
        ("exp/mini", "check the path"),
        ("exp/mini@v1", "check the path"),
        ("@v1", "check the path"),
        ("~nobody-here/model.pth", "check the path"),
        ("/" + "x" * 400, "check the path"),
        ("nothing like it", "check the path"),
        ("ConvTasNet_Libri2Mix_sepclean_16", f"did you mean {CLEAN_16K}?"),
        ("cosentino/convtasnet-librimix_sep_clean!", "Cosentino/ConvTasNet_LibriMix_sep_clean"),
    ],
)
def test_neither_path_nor_name(text, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no exp/mini of somebody's training is
    with pytest.raises(MissingInputError, match="no such checkpoint"):
        open_model(text)
    assert sentence in refusal(text)


def test_list_of_published_models_is_whole():
    entries = published_models.read_published()
    hub = import_asteroid("utils.hub_utils")
    assert len(entries) == len({entry.name for entry in entries}) == 9
    for entry in entries:
        assert entry.sample_rate == (16000 if entry.name.endswith("16k") else 8000)
        assert entry.n_src == (3 if "Libri3Mix" in entry.name else 2)
        assert entry.task.replace("_", "") in entry.name
        assert set(entry.scores) == {"si_sdr", "si_sdri", "sdr", "sdri", "stoi"}
        # what Asteroid calls the record, it fetches from the same URL into the same file
        if entry.zenodo_name:
            assert hub.MODELS_URLS_HASHTABLE[entry.zenodo_name] == entry.url
            stem = published_models.locate_url(entry.url).parent.name
            assert stem == hub.url_to_filename(entry.url)
    assert published_models.asteroid_cache() == Path(hub.CACHE_DIR)
    assert published_models.find_by_name("mpariente/ConvTasNet_WHAM!_sepclean").n_src == 2


@pytest.mark.parametrize("name", list_models())
def test_every_model_of_default_size_loads_from_its_checkpoint(name, tmp_path):
    """Classes that are not Conv-TasNet too, by their own arguments."""
    conf = load_conf(ROOT, RECIPE, [f"model.name={name}"])
    model = build_model(conf.model, 2, conf.audio.sample_rate).eval()
    save_model(model, tmp_path / "best_model.pth")
    loaded = open_model(str(tmp_path))
    assert_same_weights(loaded.model, model)
    assert (loaded.sample_rate, loaded.n_src) == (conf.audio.sample_rate, 2)


@pytest.mark.parametrize("key", ["model_state_dict", "model_state", "model", "net", ""])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_other_trainings_with_a_conf_beside_them(key, prefix, tmp_path):
    model = make_tasnet()
    weights = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    content = {key: weights, "optimizer": {"lr": 1e-3}, "epoch": 7} if key else weights
    torch.save(content, tmp_path / "epoch7.pt")
    assert "no conf.yml lies beside epoch7.pt" in refusal(tmp_path / "epoch7.pt")
    data = {"n_src": 2, "sample_rate": 16000}
    conf = {"data": data, "filterbank": FILTERBANK, "masknet": MASKNET}
    (tmp_path / "conf.yml").write_text(yaml.safe_dump(conf))
    loaded = open_model(str(tmp_path / "epoch7.pt"))
    assert_same_weights(loaded.model, model)
    assert (loaded.sample_rate, loaded.n_src) == (16000, 2)


@pytest.mark.parametrize("wrap", [lambda m: m, torch.nn.DataParallel, lambda m: {"model": m}])
def test_a_pickled_module_needs_trust(wrap, tmp_path):
    model = make_tasnet()
    torch.save(wrap(model), tmp_path / "whole.pth")
    assert "add --trust-checkpoint" in refusal(tmp_path / "whole.pth")
    loaded = open_model(str(tmp_path / "whole.pth"), trust=True)
    assert_same_weights(loaded.model, model)
    assert loaded.n_src == 2


class Halves(torch.nn.Module):
    """Someone's own network, which says nothing of itself."""

    def __init__(self, n_src: int = 3) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(n_src, 1))

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        return wav[:, None] * self.weight


class Flat(Halves):
    """One that gives one signal."""

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        return wav


def test_a_pickled_module_of_another_class_is_run_as_it_is(tmp_path):
    torch.save(Halves(), tmp_path / "whole.pth")
    loaded = open_model(str(tmp_path / "whole.pth"), trust=True)
    assert (loaded.n_src, loaded.sample_rate, loaded.model.sample_rate) == (3, 8000, 8000)
    assert "a pickled Halves, run as its file has it" in loaded.notes
    (tmp_path / "conf.yml").write_text("data: {sample_rate: 16000}")
    assert open_model(str(tmp_path / "whole.pth"), trust=True).sample_rate == 16000
    torch.save(Flat(), tmp_path / "flat.pth")
    assert "its Flat should take" in refusal(tmp_path / "flat.pth", trust=True)
