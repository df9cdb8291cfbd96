"""Stages 1 to 3: corpus table, mixture tables, packed audio."""

import logging
import shutil
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from separation.corpora.plugin import load
from separation.download.fetch import check_space
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.fingerprints import compare_fingerprints, read_fingerprints
from separation.files import read_json, write_json, write_text
from separation.mixtures.published_lists import check_speakers
from separation.mixtures.table import (
    MixtureRow,
    list_noises,
    list_sources,
    read_mixture_table,
    write_mixture_table,
)
from separation.stages.keys import audio_key, metadata_key
from separation.text import list_first

if TYPE_CHECKING:
    from separation.corpora.table import Utterance

Rows = list[MixtureRow]

logger = logging.getLogger(__name__)

BYTES_PER_SAMPLE = 2


def run_corpus(experiment: Experiment) -> list[Path]:
    """Stage 1: the corpus table, with splits; of the noise corpus too where it is used."""
    if experiment.origin == "existing":
        print("  not needed: the mixtures exist as audio", flush=True)
        return []
    if experiment.origin == "published" and not experiment.mixes_dynamically:
        print("  not needed: training takes the published list", flush=True)
        return []
    from separation.corpora.audit import write_audit
    from separation.corpora.splits import (
        assign_splits,
        copy_subsets,
        describe_few_speakers,
        limit_training,
    )
    from separation.corpora.table import drop_low_rates, format_table, scan_recordings

    conf, inputs, data = experiment.conf, experiment.inputs, experiment.data
    found = scan_recordings(
        inputs.recordings, inputs.speech_root, conf.corpus, experiment.n_jobs, data.shared
    )
    rate, skip_bad = conf.audio.sample_rate, conf.corpus.skip_bad
    drop_low_rates(found.utterances, rate, skip_bad=skip_bad)  # the table serves every rate
    if experiment.origin == "published":
        utterances = copy_subsets(found.utterances)
    else:
        assigned = assign_splits(found.utterances, conf.splits, conf.mixtures.n_src)
        utterances = limit_training(assigned, conf.splits)
    outputs = [data.table, *write_audit(data.path, utterances, found.left_out, conf)]
    write_text(data.table, format_table(utterances))
    print(_format_corpus(utterances), flush=True)
    for note in describe_few_speakers(utterances):
        print(f"  note: {note}", flush=True)
    if experiment.noisy:
        write_text(data.noise_table, format_table(_scan_noise(experiment)))
        outputs.append(data.noise_table)
    return outputs


def _scan_noise(experiment: Experiment) -> "list[Utterance]":
    """Table of the noise corpus; of its training part where the lists are published."""
    from separation.corpora.plugin import list_recordings
    from separation.corpora.splits import copy_subsets
    from separation.corpora.table import drop_low_rates, scan_recordings

    name, root = experiment.conf.corpus.noise, experiment.inputs.noise_root
    recordings = list_recordings(name, root)
    if experiment.origin == "published":
        used = {path for path, _ in list_noises(experiment.inputs.published["train"])}
        recordings = [row for row in recordings if row.path in used]
    conf = experiment.conf.corpus
    found = scan_recordings(
        recordings, root, conf, experiment.n_jobs, experiment.data.shared, label="noise"
    )
    drop_low_rates(found.utterances, experiment.conf.audio.sample_rate, skip_bad=conf.skip_bad)
    return copy_subsets(found.utterances)


def _format_corpus(utterances: "list[Utterance]") -> str:
    lines = []
    for split in sorted({row.split for row in utterances}, key=_rank_split):
        rows = [row for row in utterances if row.split == split]
        minutes = sum(row.duration_s for row in rows) / 60
        speakers = sorted({f"{row.speaker} ({row.sex or '?'})" for row in rows})
        named = ", ".join(speakers) if len(speakers) <= 12 else f"{len(speakers)} speakers"
        lines.append(f"  {split}: {len(rows)} utterances, {minutes:.1f} min, {named}")
    return "\n".join(lines)


def _rank_split(name: str) -> int:
    order = ("train", "dev", "test", "test_seen", "test_unseen")
    return order.index(name) if name in order else len(order)


def run_metadata(experiment: Experiment) -> list[Path]:
    """Stage 2: the mixture tables and their fingerprints."""
    makers = {"existing": _list_existing, "published": _check_published, "drawn": _draw}
    tables = makers[experiment.origin](experiment)
    outputs = []
    for split in experiment.listed_splits:
        path = experiment.data.mixture_table(split)
        write_mixture_table(path, tables[split])
        outputs.append(path)
    compared = compare_fingerprints(experiment)
    for split, fingerprint in read_fingerprints(experiment).items():
        count = len(tables[split])
        word = f" ({compared[split]})" if split in compared else ""
        print(f"  {split}: {count} mixtures, fingerprint {fingerprint}{word}", flush=True)
    return outputs


def _list_existing(experiment: Experiment) -> dict[str, Rows]:
    from separation.mixtures.existing import check_mixtures

    conf = experiment.conf
    return {
        split: check_mixtures(
            rows,
            conf.audio.sample_rate,
            experiment.n_jobs,
            f"check {split}",
            skip_bad=conf.corpus.skip_bad,
        )
        for split, rows in experiment.inputs.existing.items()
    }


def _check_published(experiment: Experiment) -> dict[str, Rows]:
    """The published lists, their files opened one by one."""
    from separation.mixtures.check_files import check_files

    conf = experiment.conf
    name, n_src = conf.metadata.lists, conf.mixtures.n_src
    module, root = load(name), experiment.roots.find(name)
    info = module.INFO
    _check_published_rate(experiment)
    lists = experiment.inputs.published
    check_speakers(name, lists)
    names = module.name_lists(conf.metadata.train)
    for split, published in names.items():
        if not module.is_published(root, n_src, published):
            logger.warning(
                "%s: %s is not the list that was published; its scores compare with nobody's",
                split,
                module.list_path(root, n_src, published),
            )
    speech = experiment.inputs.speech_root
    lengths = module.read_lengths(root, [*names.values()])
    found = check_files(
        _list_files(experiment),
        experiment.n_jobs,
        "check files",
        info.sample_rate,
        {speech / path: n_samples for path, n_samples in lengths.items()},
        min_samples=info.min_samples,
        skip_bad=conf.corpus.skip_bad,
    )
    _compare_levels(experiment)
    return {split: _keep_checked(rows, found, experiment) for split, rows in lists.items()}


def _check_published_rate(experiment: Experiment) -> None:
    rate, own = experiment.conf.audio.sample_rate, load(experiment.conf.metadata.lists).INFO
    if rate > own.sample_rate:
        raise UserError(
            f"audio.sample_rate={rate}: the corpus has {own.sample_rate} Hz; set 8000 or 16000."
        )


def _keep_checked(rows: Rows, found: Container[Path], experiment: Experiment) -> Rows:
    """The mixtures whose files were found in order, all of them where nothing is left out."""
    inputs = experiment.inputs

    def is_usable(row: MixtureRow) -> bool:
        files = [inputs.speech_root / path for source in row.sources for path in source.paths]
        if experiment.noisy and row.noise is not None:
            files.append(inputs.noise_root / row.noise.path)
        return all(path in found for path in files)

    return [row for row in rows if is_usable(row)]


def _compare_levels(experiment: Experiment) -> None:
    """Name recordings that are not those which the published lists were made from."""
    from separation.mixtures.check_levels import find_wrong_levels

    inputs = experiment.inputs
    rows = [row for rows in inputs.published.values() for row in rows]
    wrong = find_wrong_levels(rows, inputs.speech_root, experiment.n_jobs)
    if wrong:
        logger.warning(
            "%d recordings of those looked at are not as loud as published (%s): are they the "
            "first microphone's, decoded by sph2pipe?",
            len(wrong),
            list_first(wrong, joined_by="; "),
        )


def _list_files(experiment: Experiment) -> list[tuple[Path, str]]:
    """Paths and channels of the sources and noises that the published lists name."""
    inputs = experiment.inputs
    rows = [row for rows in inputs.published.values() for row in rows]
    files = [(inputs.speech_root / path, channel) for path, channel in list_sources(rows)]
    if experiment.noisy:
        files += [(inputs.noise_root / path, channel) for path, channel in list_noises(rows)]
    return files


def _draw(experiment: Experiment) -> dict[str, Rows]:
    from separation.corpora.splits import check_disjoint
    from separation.experiment.mixtures import open_corpora, read_usable, read_usable_noise
    from separation.mixtures.draw.combinations import draw_combinations
    from separation.mixtures.draw.librimix import draw_librimix

    conf = experiment.conf
    utterances = read_usable(experiment)
    check_disjoint(utterances, conf.splits.by, conf.mixtures.n_src)
    noises = read_usable_noise(experiment)
    tables = {}
    for split in experiment.listed_splits:
        own = _cut_long(experiment, utterances, split)
        counts = {"train": conf.mixtures.n_train, "dev": conf.mixtures.n_dev}
        count = counts.get(split, conf.mixtures.n_test)
        if conf.metadata.rules == "librimix":
            tables[split] = draw_librimix(
                own,
                noises,
                split,
                count,
                conf.mixtures,
                open_corpora(experiment),
                experiment.n_jobs,
                sample_rate=conf.audio.sample_rate,
            )
        else:
            tables[split] = draw_combinations(own, split, count, conf.mixtures)
        if len(tables[split]) < count:
            logger.warning(
                "%s: %d mixtures where %d are asked for: its recordings give no more different "
                "ones",
                split,
                len(tables[split]),
                count,
            )
    return tables


def _cut_long(
    experiment: Experiment, utterances: "list[Utterance]", split: str
) -> "list[Utterance]":
    """The utterances, in place of a split's that are too long to be mixed whole their pieces."""
    from separation.corpora.pauses import cut_long_utterances

    conf = experiment.conf.mixtures
    if split == "train" and conf.train_length_s > 0:
        return utterances  # of which the draw takes pieces by itself
    long = [
        row
        for row in utterances
        if row.split == split and 0 < conf.max_utterance_s < row.duration_s
    ]
    if not long:
        return utterances
    root, longest_s = experiment.inputs.speech_root, conf.max_utterance_s
    pieces = cut_long_utterances(long, root, longest_s, experiment.n_jobs)
    print(
        f"  {split}: {len(long)} recordings of more than mixtures.max_utterance_s={longest_s:g} s "
        f"are cut at pauses into {sum(map(len, pieces.values()))}",
        flush=True,
    )
    return [piece for row in utterances for piece in pieces.get(row.path, [row])]


def run_audio(experiment: Experiment) -> list[Path]:
    """Stage 3: pack the training utterances, and the lists' sources losslessly if asked for."""
    outputs = []
    _check_rate(experiment)
    if experiment.mixes_dynamically:
        outputs += _pack_training(experiment)
    if experiment.conf.audio.exact_pack and experiment.origin != "existing":
        outputs += _pack_exact(experiment)
    if not outputs:
        print("  not needed: nothing is mixed anew, and the lists are rendered from the files")
    return outputs


def _check_rate(experiment: Experiment) -> None:
    """The model's rate, which may have been raised since the stages before were done."""
    from separation.experiment.mixtures import read_usable, read_usable_noise

    if experiment.origin == "published":
        _check_published_rate(experiment)
    elif experiment.origin == "drawn" and not experiment.mixes_dynamically:
        read_usable(experiment)
        read_usable_noise(experiment)


def _pack_training(experiment: Experiment) -> list[Path]:
    from separation.corpora.pack import pack_speakers
    from separation.experiment.mixtures import read_usable, read_usable_noise

    data, rate = experiment.data, experiment.conf.audio.sample_rate
    folder, inputs = data.packed(rate), experiment.inputs
    _begin_pack(folder, audio_key(experiment))
    rows = [row for row in read_usable(experiment) if row.split == "train"]
    missing = [row for row in rows if not (folder / f"{row.speaker}.csv").is_file()]
    check_space(folder, sum(round(row.duration_s * rate) * BYTES_PER_SAMPLE for row in missing))
    pack_speakers(rows, inputs.speech_root, folder, rate, experiment.n_jobs)
    if experiment.noisy:
        noises = [row for row in read_usable_noise(experiment) if row.split == "train"]
        pack_speakers(noises, inputs.noise_root, folder / "noise", rate, experiment.n_jobs)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _pack_exact(experiment: Experiment) -> list[Path]:
    """Sources of the mixture tables at their own rate, grouped by speaker."""
    from separation.corpora.pack import pack_speakers
    from separation.mixtures.source_files import list_clips

    data = experiment.data
    _begin_pack(data.exact, metadata_key(experiment))
    tables = [data.mixture_table(split) for split in experiment.listed_splits]
    rows = [row for table in tables for row in read_mixture_table(table, allow_repeats=True)]
    clips = list_clips(rows)
    pack_speakers(clips, experiment.inputs.speech_root, data.exact, None, experiment.n_jobs)
    return sorted(data.exact.iterdir())


def _begin_pack(folder: Path, key: str) -> None:
    """Keep a pack of this very key to go on from; remove one of another."""
    key_file = folder / "key.json"
    if read_json(key_file) != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(key_file, key)
