"""Mixtures kept in memory: no bit lost, half the memory, and only where they fit."""

import pickle

import numpy as np
import pytest

from separation.corpora.pack import PackedAudio
from separation.files import format_rows
from separation.mixtures import dataset as dataset_module
from separation.mixtures import kept
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.kept import KeptMixture, measure_memory, shrink
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row

EDGES = np.float32([-1, -0.0, 0, 2**-15, 32767 / 32768])


def make_mixture(samples: np.ndarray, number: int = 0) -> Mixture:
    row = parse_row({"mixture_ID": f"m{number}"})
    sources = np.stack([samples, samples[::-1]])
    return Mixture(row=row, sample_rate=8000, mixture=samples, sources=sources, noise=samples)


@pytest.mark.parametrize(
    ("samples", "size"), [(EDGES, 2), (EDGES + np.float32(1e-6), 4), (EDGES + 1, 4)]
)
def test_no_bit_is_lost(samples, size):
    mixture = make_mixture(samples)
    stored = KeptMixture(mixture)
    assert stored.n_bytes == 4 * size * len(samples)
    for name, signal in stored.open().signals().items():
        assert signal.dtype == np.float32
        assert np.array_equal(signal, mixture.signals()[name])


def test_empty_and_not_finite_stay_as_they_are():
    assert shrink(np.zeros(0, np.float32)).dtype == np.float32
    assert shrink(np.float32([np.nan])).dtype == shrink(np.float32([np.inf])).dtype == np.float32


class Rendered(MixtureDataset):
    """Mixtures of noise, 16 bits each, made when asked for."""

    def __init__(self, n_mixtures: int, broken: int = -1) -> None:
        rows = [parse_row({"mixture_ID": f"m{number}"}) for number in range(n_mixtures)]
        super().__init__(rows, ReadOptions(corpora=None, sample_rate=8000))
        self.read, self.broken = [], broken

    def _read_at_rate(self):
        def read(row):
            number = int(row.mixture_id[1:])
            self.read.append(number)
            if number == self.broken:
                raise OSError("cut off")
            noise = np.random.default_rng(number).integers(-99, 99, 100)
            return make_mixture(noise.astype(np.float32) / np.float32(2**15), number)

        return read


@pytest.fixture
def _few(monkeypatch):
    monkeypatch.setattr(dataset_module, "FEW", 10)


@pytest.mark.parametrize(("memory", "is_kept"), [(30 * 800 * 4, True), (30 * 800 * 4 - 1, False)])
@pytest.mark.usefixtures("_few")
def test_many_are_kept_where_they_take_a_quarter_of_the_memory(memory, is_kept, monkeypatch):
    """Bug: dev sets of more than 600 were rendered anew in every epoch."""
    monkeypatch.setattr(kept, "measure_memory", lambda: memory)
    mixtures, fresh = Rendered(30, broken=7), Rendered(30)
    assert mixtures.keep(1, "dev").holds(range(30)) == is_kept
    mixtures.read.clear()
    for number in (0, 29):
        assert np.array_equal(mixtures[number].sources, fresh[number].sources)
    assert mixtures.read == ([] if is_kept else [0, 29])
    with pytest.raises(OSError, match="cut off"):
        mixtures[7]


@pytest.mark.usefixtures("_few")
def test_only_the_chosen_are_kept():
    mixtures = Rendered(1000).keep(1, "dev", [0, 400, 800])
    assert mixtures.read == [0, 400, 800] and mixtures.holds([400, 0])
    assert not mixtures.holds([1]) and mixtures[1].mixture_id == "m1"
    assert not Rendered(30).keep(1, "dev", many=False).holds([0])


def test_memory_of_a_container_counts(monkeypatch, tmp_path):
    whole = measure_memory()
    assert 2**26 < whole < 2**50
    for name, text in (("LIMIT_FILE", "1000\n"), ("USED_FILE", "400\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(kept, name, tmp_path / name)
    assert measure_memory() == 600
    (tmp_path / "LIMIT_FILE").write_text("max\n")
    assert measure_memory() > 600


def test_a_pack_is_pickled_as_its_folder(tmp_path):
    """Bug: its mapped samples would have gone to a worker process one by one."""
    row = {"speaker": "a", "path": "a.wav", "offset": 0, "n_samples": 9999, "sample_rate": 8000}
    row |= {"scale": 2**-15, "peak": 1.0, "loudness_lufs": -20.0}
    (tmp_path / "a.csv").write_text(format_rows([row]))
    np.arange(9999, dtype="<i2").tofile(tmp_path / "a.i16")
    pack = PackedAudio(tmp_path, ["a"])
    text = pickle.dumps(pack)
    assert len(text) < 1000
    assert np.array_equal(pickle.loads(text).samples_of(0), pack.samples_of(0))
