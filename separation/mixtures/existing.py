"""Mixtures that exist as audio: LibriMix trees, wsj0-mix trees, folders mix/ s1/ s2/ (s3/)."""

from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from separation.errors import MissingInputError, UserError
from separation.jobs import run_jobs
from separation.text import list_lines

if TYPE_CHECKING:
    import numpy as np

    from separation.mixtures.signals import Mixture

MIX_FOLDERS = {"sep_clean": ("mix_clean", "mix"), "sep_noisy": ("mix_both", "mix")}
SPLIT_FOLDERS = {
    "train": ("train", "train-100", "train-360", "tr"),
    "dev": ("dev", "cv", "valid", "val"),
    "test": ("test", "tt"),
}
SUFFIXES = (".wav", ".flac")


def find_splits(tree: Path, sample_rate: int, mode: str, train: str) -> dict[str, Path]:
    """Find the folders of train, dev and test below a tree of mixtures.

    Args:
        tree: a LibriMix tree (``Libri2Mix`` or a folder in it), a wsj0-mix tree, or any folder
            with ``train``, ``dev`` and ``test`` in it.
        train: the preferred name of the training folder, such as ``train-100``.

    Raises:
        MissingInputError: no such folder, or a split is not there.
    """
    branch = f"wav{sample_rate // 1000}k/{mode}"
    places = ["", branch, f"Libri2Mix/{branch}", f"Libri3Mix/{branch}"]
    places += [f"2speakers/{branch}", f"3speakers/{branch}", mode]
    for place in places:
        found = {}
        for split, names in SPLIT_FOLDERS.items():
            wanted = (train, *names) if split == "train" else names
            folders = [tree / place / name for name in wanted if (tree / place / name).is_dir()]
            if folders:
                found[split] = folders[0]
        if len(found) == len(SPLIT_FOLDERS):
            return found
    raise MissingInputError(
        f"--corpus mixtures={tree}: it should hold train (or train-100, train-360, tr), dev "
        f"(or cv) and test (or tt), directly or in {branch}, each with mix/ (or mix_clean/, "
        "mix_both/), s1/ and s2/; or name them with --corpus train=DIR --corpus dev=DIR "
        "--corpus test=DIR."
    )


def list_mixtures(folder: Path, n_src: int, task: str) -> list[dict[str, str]]:
    """Rows ``mixture_ID, mixture_path, source_i_path`` of one split's folder, sorted by name.

    Raises:
        UserError: folders are missing, are those of another number of speakers, or hold
            different files.
    """
    mix = next((folder / name for name in MIX_FOLDERS[task] if (folder / name).is_dir()), None)
    if mix is None:
        raise MissingInputError(f"{folder}: holds no {' or '.join(MIX_FOLDERS[task])} for {task}.")
    sources = sorted(p for p in folder.glob("s[1-9]") if p.is_dir())
    if [p.name for p in sources] != [f"s{number}" for number in range(1, n_src + 1)]:
        raise UserError(
            f"{folder}: holds {', '.join(p.name for p in sources) or 'no s1, s2'} where "
            f"mixtures.n_src={n_src}; set --set mixtures.n_src={max(2, len(sources))}."
        )
    names = _list_audio(mix)
    if not names:
        raise UserError(f"{mix}: holds no WAV or FLAC files.")
    for source in sources:
        odd = sorted(set(names) ^ set(_list_audio(source)))
        if odd:
            raise UserError(
                f"{source}: its files differ from those of {mix.name}: {len(odd)} are in one "
                f"only, {odd[0]} the first; was it made whole?"
            )
    return [
        {"mixture_ID": Path(name).stem, "mixture_path": str(mix / name)}
        | {f"source_{k}_path": str(source / name) for k, source in enumerate(sources, 1)}
        for name in names
    ]


def _list_audio(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def check_mixtures(rows: list[dict[str, str]], sample_rate: int, n_jobs: int, label: str) -> None:
    """Look at every file's header: rate, channels, equal lengths within a mixture.

    Raises:
        UserError: lists the mixtures that cannot be used.
    """
    complaints = find_faults(rows, sample_rate, n_jobs, label)
    if complaints:
        raise UserError(
            f"{list_lines(complaints)}\n{len(complaints)} of {len(rows)} mixtures cannot be used "
            f"at audio.sample_rate={sample_rate}."
        )


def find_faults(rows: list[dict[str, str]], sample_rate: int, n_jobs: int, label: str) -> list[str]:
    """What the headers of audio tell of mixtures that cannot be used; a sentence each.

    Args:
        rows: with absolute paths.
        sample_rate: Hz, that all should have.
        n_jobs: processes.
        label: for the progress bar.
    """
    jobs = [(row, sample_rate) for row in rows]
    results = run_jobs(
        _check_row, jobs, n_jobs, total=len(jobs), label=label, unit="mixture", chunk=16
    )
    return [text for text in results if text]


def _check_row(job: tuple[dict[str, str], int]) -> str:
    row, sample_rate = job
    lengths = {}
    for key, path in row.items():
        if not key.endswith("_path"):
            continue
        try:
            with soundfile.SoundFile(path) as file:
                lengths[path] = file.frames
                if file.samplerate != sample_rate:
                    return f"{path}: has {file.samplerate} Hz where {sample_rate} Hz are expected"
                if file.channels > 1 or file.frames == 0:
                    return f"{path}: has {file.channels} channels and {file.frames} samples"
        except soundfile.LibsndfileError as error:
            return f"{path}: cannot be decoded ({str(error).split(': ')[-1]})"
    return tell_lengths(row["mixture_path"], [*lengths.values()])


def tell_lengths(path: str, lengths: list[int]) -> str:
    """What is wrong where a mixture and its sources differ in length; else empty.

    They are not cut to the shortest: nobody can tell whether they begin together.
    """
    return f"{path}: mixture and sources differ in length {lengths}" * (len(set(lengths)) > 1)


def read_existing(row: dict[str, str], sample_rate: int) -> "Mixture":
    """Read one row's mixture and sources as they are, float32."""
    import numpy as np

    from separation.mixtures.signals import Mixture

    sources = [row[key] for key in row if key.startswith("source_") and key.endswith("_path")]
    signals = [_read(path, sample_rate) for path in (row["mixture_path"], *sources)]
    complaint = tell_lengths(row["mixture_path"], [len(signal) for signal in signals])
    if complaint:
        raise UserError(f"{complaint}; make them again.")
    return Mixture(row, signals[0], np.stack(signals[1:]))


def _read(path: str, sample_rate: int) -> "np.ndarray":
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != sample_rate:
        raise UserError(f"{path}: has {rate} Hz where audio.sample_rate={sample_rate}.")
    return samples
