"""Every kind of table that a stage can make is taken by every command that takes tables."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.cli.main import main
from separation.files import read_rows
from tests.support.mixture_folders import save_small_model
from tests.support.wsj0_tree import LISTS, write_wsj0

SMALL = ("mixtures.n_dev=3", "mixtures.n_test=3", "corpus.min_duration_s=0.5")
KINDS = {  # recipe, overrides, the split whose table is of this kind
    "combinations": ("mini/ConvTasNet", ("mixtures.n_train=4",), "train"),
    "LibriMix's rules": ("folder/ConvTasNet", (), "test"),
    "pieces": ("folder/ConvTasNet", ("mixtures.train_length_s=2.5",), "train"),
    "level differences": ("folder/ConvTasNet", ("mixtures.train_level_by=difference",), "train"),
    "three sources": ("mini/ConvTasNet/from_scratch", ("mixtures.n_src=3",), "test_unseen"),
    "noise": ("folder/ConvTasNet", ("mixtures.task=sep_noisy", "corpus.noise=noise"), "dev"),
    "wsj0-mix": ("wsj0mix/ConvTasNet", (), "test"),
}


@pytest.fixture(scope="module")
def roots(speech_folder, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("roots")
    write_wsj0(folder / "wsj0", 2)
    for number in range(6):
        path = folder / "noise" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.05, 20000 + number)
        soundfile.write(path, noise, 8000, "PCM_16")
    return {"speech": speech_folder, "noise": folder / "noise", "wsj0": folder / "wsj0"} | {
        "wsj0mix": LISTS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_compare_validate_and_render_take_it(kind, roots, tmp_path):
    """``compare`` of wsj0mix:test and ``render`` of pieces ended in a KeyError."""
    recipe, overrides, split = KINDS[kind]
    names = ("wsj0", "wsj0mix") if "wsj0" in recipe else ("speech",)
    names += ("noise",) if kind == "noise" else ()
    corpora = [f"--corpus={name}={roots[name]}" for name in names]
    n_src = 3 if kind == "three sources" else 2
    unseen = ("splits.n_unseen=3",) if n_src == 3 else ()
    given = [*corpora, *(f"--set={text}" for text in (*SMALL, *overrides, *unseen))]
    places = [f"--data={tmp_path / 'data'}", "--nj=1"]
    for stage in ("preflight", "corpus", "metadata"):
        words = [f"--recipe={recipe}", *given, *places, f"--exp={tmp_path / 'exp'}"]
        assert main([stage, *words]) == 0
    (table,) = (tmp_path / "data").rglob(f"metadata/{split}.csv")
    n_mixtures = len({row["mixture_ID"] for row in read_rows(table)})
    model = save_small_model(tmp_path / "model.pth", n_src)
    named = [f"{recipe}:{split}", *given, *places]
    read = [str(table), *(text for text in corpora if "wsj0mix=" not in text), "--nj=1"]
    for number, words in enumerate((named, read)):
        out = tmp_path / f"comparison{number}"
        scored = ["--models", str(model), "--out", str(out), "--test-sets", *words]
        assert main(["compare", *scored]) == 0
        assert len(read_rows(next(out.rglob("mixture.csv")))) == n_mixtures
    assert main(["validate", *named]) in (0, 1)  # 1: it found faults, such as short mixtures
    assert main(["validate", *read]) in (0, 1)
    types = ["--types", "mix_clean", *(["mix_both"] if kind == "noise" else [])]
    assert main(["render", *read, "--out", str(tmp_path / "tree"), *types]) == 0
    assert len(list((tmp_path / "tree").rglob("s1/*.wav"))) == n_mixtures
