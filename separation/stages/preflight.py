"""Stage 0: the machine, the corpora, and what the next stages will take."""

import os
import shutil
from collections import Counter
from pathlib import Path

from separation.cluster import check_cluster
from separation.config.schema import Conf
from separation.corpora.plugin import (
    DownloadRequest,
    Recording,
    can_download,
    can_list,
    check_corpus,
    download,
    prepare,
)
from separation.corpora.splits import check_speaker_count, check_subsets, check_unseen
from separation.environment import PACKAGES, find_version
from separation.errors import MissingInputError, UserError
from separation.experiment.experiment import Experiment
from separation.experiment.inputs import Inputs
from separation.files import check_writable, locate_recording
from separation.mixtures.published_lists import NAME_DRAW, describe, explain_missing, name_subsets
from separation.mixtures.table import list_noises, list_sources
from separation.models import shipped
from separation.stages.estimate import print_cost_estimate
from separation.text import list_lines
from separation.training.loggers import check_loggers

NEEDED_DISK_GB = 1.0
WORKERS_PER_CORE, FEW_WORKERS = 4, 8  # processes that make training mixtures


def check_machine(experiment: Experiment) -> None:
    """Check versions, disk, folders and corpus before anything long starts.

    Raises:
        UserError: what is missing, and how to get it.
    """
    missing = [name for name in PACKAGES if not find_version(name)]
    if missing:
        raise UserError(
            f"the active Python environment lacks {', '.join(missing)}: deactivate it and bash "
            "run.sh makes one, or run pip install -r requirements.txt && pip install --no-deps "
            "-r requirements-nodeps.txt in it."
        )
    check_start(experiment.conf)
    check_workers(experiment.conf)
    check_loggers(experiment.conf.training.loggers)
    check_cluster(experiment.cluster, [experiment.data.path, experiment.folder.path])
    for folder in (experiment.data.path, experiment.folder.path):
        check_writable(folder, "choose another with --data or --exp")
    free_gb = shutil.disk_usage(experiment.data.path).free / 1e9
    if free_gb < NEEDED_DISK_GB:
        raise UserError(
            f"{experiment.data.path}: {free_gb:.1f} GB free where {NEEDED_DISK_GB} GB are needed; "
            "free some or choose another disk with --data DIR."
        )


def check_workers(conf: Conf) -> None:
    """Raise :class:`UserError` where so many processes on this machine would only wait."""
    n_cores = os.cpu_count() or 1
    most = WORKERS_PER_CORE * n_cores + FEW_WORKERS
    if conf.training.num_workers > most:
        raise UserError(
            f"training.num_workers={conf.training.num_workers} is too many for the {n_cores} cores "
            f"of this machine: set at most training.num_workers={most}."
        )


def check_start(conf: Conf) -> None:
    """Whether training can start from the shipped weights, where the recipe says so.

    Other checkpoints are opened in stage 4, which takes the libraries that open them.

    Raises:
        UserError: the recipe's model is of another architecture.
    """
    if conf.training.init_from != shipped.NAME:
        return
    arguments = conf.model.saved_arguments(conf.mixtures.n_src, conf.audio.sample_rate)
    if difference := shipped.find_difference(conf.model.name, arguments):
        raise UserError(
            f"training.init_from={shipped.NAME} is of another architecture: {difference}; start "
            "from random weights with --set training.init_from= (nothing after the equals sign)."
        )


def run_preflight(experiment: Experiment) -> list[Path]:
    """Stage 0: download what is missing, look at what is there."""
    _note_unused(experiment)
    if experiment.origin == "existing":
        for split, rows in experiment.inputs.existing.items():
            folder = Path(rows[0].mixture_path).parent
            print(f"  {split}: {len(rows)} mixtures in {folder}", flush=True)
        print_cost_estimate(experiment)
        return []
    _fetch_corpora(experiment)
    experiment.refresh_inputs()
    if experiment.origin == "published":
        _describe_published(experiment.inputs)
        _refuse_missing(experiment)
    source = experiment.conf.corpus.source
    if experiment.origin == "drawn":
        _check_whole(experiment)
    if experiment.noisy:
        _remark_on_noise(experiment)
    recordings = experiment.inputs.recordings
    speakers = len({row.speaker for row in recordings})
    print(f"  corpus {source}: {len(recordings)} recordings of {speakers} speakers", flush=True)
    if experiment.origin == "drawn":
        _check_splits(experiment, recordings)
    print_cost_estimate(experiment)
    return []


def _note_unused(experiment: Experiment) -> None:
    """Keys that the call sets and that only a draw of mixtures has a use for."""
    of_draw = {"balance_sexes", "min_utterance_s", "n_train", "n_dev", "n_test", "train_length_s"}
    unused = [
        key
        for key in experiment.overridden
        if key.startswith("splits.") or key.removeprefix("mixtures.") in of_draw
    ]
    if unused and experiment.origin != "drawn":
        print(
            f"  note: {', '.join(unused)}: without effect, as no mixtures are drawn: they are "
            f"{experiment.origin} ones",
            flush=True,
        )


def _check_splits(experiment: Experiment, recordings: list[Recording]) -> None:
    """What recordings alone tell of splits that cannot be, before all of them are decoded."""
    splits = experiment.conf.splits
    speakers = {row.speaker for row in recordings}
    if splits.by == "subset":
        check_subsets({row.subset for row in recordings})
        return
    check_speaker_count(len(speakers), experiment.conf.mixtures.n_src)
    if splits.by == "prompts":
        check_unseen(splits, speakers)


def _fetch_corpora(experiment: Experiment) -> None:
    """Download what was not given with --corpus, where the corpus's own code can."""
    source, metadata = experiment.conf.corpus.source, experiment.conf.metadata
    names = [source]
    if experiment.origin == "published":
        names.append(metadata.lists)
    if experiment.noisy:
        names.append(experiment.conf.corpus.noise)
    for name in names:
        if name in experiment.roots.given:
            _need_folder(name, experiment.roots.given[name])
            prepare(
                name, experiment.roots.given[name], experiment.inputs.reading, experiment.n_jobs
            )
        elif can_download(name):
            folder = experiment.roots.find_download(name)
            print(f"  {name} was not given with --corpus: looking in {folder}", flush=True)
            download(name, folder, _make_request(experiment))
        else:
            raise UserError(f"{experiment.recipe} needs --corpus {name}=DIR.")


def _need_folder(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise MissingInputError(f"--corpus {name}={folder}: no such folder; check the path.")


def _make_request(experiment: Experiment) -> DownloadRequest:
    """The subsets that the published lists name; without such lists, all of a corpus."""
    conf = experiment.conf
    subsets = name_subsets(conf.metadata.lists, conf.metadata.train)
    return DownloadRequest(subsets, conf.mixtures.n_src, conf.corpus.mirror)


def _describe_published(inputs: Inputs) -> None:
    """Counts of the published lists, and of what is left out of them."""
    for split, rows in inputs.published.items():
        n_listed = len(inputs.listed[split])
        print(f"  {split}: {describe(rows)}", flush=True)
        if len(rows) < n_listed:
            print(
                f"  note: {split}: {n_listed - len(rows)} of {n_listed} published mixtures are "
                "left out, so this is not the published list",
                flush=True,
            )


def _refuse_missing(experiment: Experiment) -> None:
    """All sources and noises that the lists name must be there: a look at names only."""
    inputs = experiment.inputs
    wanted = {
        inputs.speech_root / path
        for rows in inputs.published.values()
        for path, _ in list_sources(rows)
    }
    if experiment.noisy:
        rows = [row for rows in inputs.published.values() for row in rows]
        wanted |= {inputs.noise_root / path for path, _ in list_noises(rows)}
    located = {path: locate_recording(path) for path in wanted}
    absent = sorted(str(path) for path in located.values() if not path.is_file())
    if absent:
        hint = explain_missing(experiment.conf.metadata.lists, absent)
        known = f" ({hint})" if hint else ""
        draw = f"{NAME_DRAW}, " if can_list(experiment.conf.corpus.source) else ""
        raise MissingInputError(
            f"{list_lines(absent)}\n{len(absent)} of {len(wanted)} files "
            f"that the lists name are not there{known}: complete --corpus, {draw}or take the "
            "mixtures that are complete with --set corpus.skip_bad=true."
        )
    copies = Counter(
        (copy.suffix[1:].upper(), path.suffix[1:].upper()) for path, copy in located.items()
    )
    for (kind, named), count in copies.items():
        if kind != named:
            print(f"  note: {count} files are there as {kind}, taken in place of {named}")


def _remark_on_noise(experiment: Experiment) -> None:
    """What the noise corpus's own code has to say of it."""
    for remark in check_corpus(
        experiment.conf.corpus.noise, experiment.inputs.noise_root, []
    ).remarks:
        print(f"  note: {remark}", flush=True)


def _check_whole(experiment: Experiment) -> None:
    """What the corpus itself says that it should hold must be there."""
    corpus = experiment.conf.corpus
    root = experiment.roots.find(corpus.source)
    inputs = experiment.inputs
    found = check_corpus(corpus.source, root, inputs.recordings, inputs.reading)
    for remark in found.remarks:
        print(f"  note: {remark}", flush=True)
    if not found.faults:
        return
    listed = list_lines(found.faults)
    if not corpus.skip_bad:
        raise UserError(
            f"{listed}\n{len(found.faults)} fault(s) of --corpus {corpus.source}: unpack or fetch "
            "it again, or go on without these files: --set corpus.skip_bad=true."
        )
    print(f"{listed}\n  {len(found.faults)} fault(s), left out", flush=True)
