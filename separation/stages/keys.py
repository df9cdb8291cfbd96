"""What each stage depends on, as a hash: the stage is done while the hash stays the same.

Changing what a key hashes makes every finished experiment begin anew; a test holds recorded keys.
"""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.config.training import MACHINE_KEYS
from separation.files import fingerprint_file, hash_value, read_rows, stamp_file

if TYPE_CHECKING:
    from separation.experiment.experiment import Experiment


def preflight_key(experiment: "Experiment") -> str:
    """The corpora: where they lie, and the names and sizes of their files."""
    inputs = experiment.inputs
    roots = {name: str(path) for name, path in experiment.roots.given.items()}
    source = experiment.conf.corpus.source
    return hash_value([source, roots, experiment.noisy, inputs.fingerprint])


def corpus_key(experiment: "Experiment") -> str:
    """The recordings, and how they are divided into splits."""
    sections = experiment.conf.section("corpus", "splits")
    return hash_value([experiment.inputs.fingerprint, sections])


def metadata_key(experiment: "Experiment") -> str:
    """The corpus table, how mixtures are drawn from it, and the rate where levels depend on it."""
    conf = experiment.conf
    measured = conf.mixtures.train_level_by == "difference" and experiment.has_train_list
    counts = experiment.origin == "existing" or measured or _leaves_out_low_rates(experiment)
    rate = conf.audio.sample_rate if counts else 0
    return hash_value([corpus_key(experiment), conf.section("metadata", "mixtures"), rate])


def _leaves_out_low_rates(experiment: "Experiment") -> bool:
    """Whether ``skip_bad`` leaves out recordings for their sample rate."""
    if not experiment.conf.corpus.skip_bad or experiment.origin != "drawn":
        return False
    data, rate = experiment.data, experiment.conf.audio.sample_rate
    tables = [data.table, data.noise_table] if experiment.noisy else [data.table]
    stamps = [stamp_file(table) for table in tables if table.is_file()]
    return any(_find_lowest_rate(*stamp) < rate for stamp in stamps)


@functools.cache
def _find_lowest_rate(path: str, n_bytes: int, changed_ns: int) -> int:
    """In Hz, of a corpus table as it was at a time."""
    return min((int(row["sample_rate"]) for row in read_rows(Path(path))), default=0)


def audio_key(experiment: "Experiment") -> str:
    """The corpus table, and the audio section of the config."""
    return hash_value([corpus_key(experiment), experiment.conf.section("audio")])


def list_packs(experiment: "Experiment") -> list[Path]:
    """Folders of packed speech and noise that a training needs: its key does not say whether.

    A data folder's first run may have taken a fixed list, and packed nothing.
    """
    if not experiment.mixes_dynamically:
        return []
    packed = experiment.data.packed(experiment.conf.audio.sample_rate)
    return [packed, packed / "noise"] if experiment.noisy else [packed]


def data_key(experiment: "Experiment") -> str:
    """The recordings and mixtures that a training takes."""
    return hash_value([metadata_key(experiment), audio_key(experiment)])


def train_key(experiment: "Experiment") -> str:
    """The data, the model, and the training but for where and how it runs."""
    conf = experiment.conf
    training = conf.section("training")["training"].items()
    kept = {name: value for name, value in training if name not in MACHINE_KEYS}
    return hash_value([data_key(experiment), conf.section("model"), kept, experiment.recipe])


def scoring_key(experiment: "Experiment") -> str:
    """What every score of stage 5 depends on, whichever the mixture."""
    trained = fingerprint_file(experiment.folder.checkpoint)
    section = experiment.conf.section("evaluation")
    device = _guess_device(experiment.device)
    return hash_value([train_key(experiment), trained, section, device])


def evaluate_key(experiment: "Experiment") -> str:
    """The checkpoint, how it is scored, and test audio that exists already."""
    return hash_value([scoring_key(experiment), _stamp_tests(experiment)])


def report_key(experiment: "Experiment") -> str:
    """The scores, and what the report compares them with: overfit's verdict, the baseline's."""
    folder = experiment.folder
    others = [baseline.summary for baseline in folder.list_baselines()]
    compared = [fingerprint_file(path) for path in (folder.overfit, *others)]
    return hash_value([evaluate_key(experiment), experiment.conf.section("report"), compared])


def _guess_device(name: str) -> str:
    """Type of the device that ``auto`` will be; torch, which knows, takes seconds to import."""
    if name != "auto":
        return name
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
    return "cuda" if visible and any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"


def _stamp_tests(experiment: "Experiment") -> list[Any]:
    """Sizes and times of test audio that exists already; other sets are drawn from corpora."""
    if experiment.origin != "existing":
        return []
    existing = experiment.inputs.existing
    rows = [row for split in experiment.test_splits for row in existing[split]]
    return [stamp_file(Path(path)) for row in rows for path in row.list_audio()]
