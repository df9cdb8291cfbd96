"""LibriMix (JorisCos/LibriMix at b898ca3): its published lists, and how they are recognised.

``.venv/bin/python -m local.librimix DIR`` (a clone of LibriMix, or its metadata folder) enters the
fingerprints of the lists there into ``egs/librimix/fingerprints.json`` under ``lists``, by which
``compare`` recognises a published test set, as a table or as audio.
"""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from local import librispeech
from separation.corpora.plugin import CorpusInfo, DownloadRequest, Licence
from separation.download.fetch import download_file, hash_git_blob
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.files import hash_text, read_json, read_rows, write_text
from separation.mixtures.table import MixtureRow, Origin, read_mixture_table

INFO = CorpusInfo(
    name="librimix",
    kind="lists",
    title="LibriMix",
    licence=Licence("MIT", "https://github.com/JorisCos/LibriMix/blob/master/LICENSE"),
    author="Joris Cosentino",
    author_link="https://github.com/JorisCos",
    homepage="https://github.com/JorisCos/LibriMix",
    sample_rate=16000,
    readme="egs/librimix/README.md",
    mixtures="Libri{n_src}Mix",
    min_samples=48000,  # the lists hold no utterance shorter than 3 s
)
COMMIT = "b898ca375c03e4039cdb3dbe3dd485aad58ec7d1"
BASE_URL = f"https://raw.githubusercontent.com/JorisCos/LibriMix/{COMMIT}"

# mixtures by (n_src, list)
COUNTS = {
    (2, "train-360"): 50800,
    (2, "train-100"): 13900,
    (2, "dev"): 3000,
    (2, "test"): 3000,
    (3, "train-360"): 33900,
    (3, "train-100"): 9300,
    (3, "dev"): 3000,
    (3, "test"): 3000,
}
SUBSETS = {
    "train-360": "train-clean-360",
    "train-100": "train-clean-100",
    "dev": "dev-clean",
    "test": "test-clean",
}
# Below metadata/: path, git blob, bytes (0: not known).
_TABLES = """
Libri2Mix/libri2mix_dev-clean.csv 6d8f1058b9235f4606f591ad8dc7632b7e71a390 648265
Libri2Mix/libri2mix_dev-clean_info.csv 16b0f745fad1536d6306e37727702c3dcc43975d 151577
Libri2Mix/libri2mix_test-clean.csv ea28bb09d4f64e48bccb3649eec25091bd3d49ce 646465
Libri2Mix/libri2mix_test-clean_info.csv b3040dd8fd667c62bc46cd625dc117e9fe469248 148655
Libri2Mix/libri2mix_train-clean-100.csv 393234e6c9035dac4b83cd973fbb92da06ad0999 3152141
Libri2Mix/libri2mix_train-clean-100_info.csv adcb77d115a3d80f324974c3e3f492b247572c2b 693657
Libri2Mix/libri2mix_train-clean-360.csv 6190d44fad70a6890237323b3d3e0a97325eaf3a 0
Libri2Mix/libri2mix_train-clean-360_info.csv 2e6efe800f2132d3286b6ffa1e82bb53eea53361 2555313
Libri3Mix/libri3mix_dev-clean.csv 0774a4f7afcbc43bda31ea297ab0b0c2d40f64fb 883079
Libri3Mix/libri3mix_dev-clean_info.csv 35070bf462b230210b87468ef8ef6b97b8e14bbe 227329
Libri3Mix/libri3mix_test-clean.csv 49ecb6faa8d8a1d9d0f982647f90432f388ef4d6 880457
Libri3Mix/libri3mix_test-clean_info.csv 18d63c223b56fa869fc5925b830ac933e931432d 222871
Libri3Mix/libri3mix_train-clean-100.csv 26799c5facabbeb08f8a88b4faa3435a52acfb66 2887602
Libri3Mix/libri3mix_train-clean-100_info.csv 159ce8cded9d4cc1cd112fe06171751443d2bde6 696183
Libri3Mix/libri3mix_train-clean-360.csv 547999833756e1689b9c1943c3c13a3fe138bcf8 0
Libri3Mix/libri3mix_train-clean-360_info.csv 567850311352b0191ae594aca48b9ad182374924 2557870
LibriSpeech/dev-clean.csv 084275235850436a998ebc6594687985853db19a 152552
LibriSpeech/test-clean.csv a89034b282b561eb509f3cc9d87255c3b6afbf5e 150260
LibriSpeech/train-clean-100.csv 564bf6143c51ab042d7f9da60a73bbf3f0b570c0 2182835
LibriSpeech/train-clean-360.csv ec07e18f18364b8b0b2782a872dd735546f3e326 0
Wham_noise/dev.csv e37bbc67eace2443c48363767c035e811b480ed3 471577
Wham_noise/test.csv c18e4f047f7def9b35e00e787bd14df7273ad0ec 283036
Wham_noise/train.csv 2ab26dd588d2440750ca291d678911c8b8c4310d 0
"""
BLOBS = {
    f"metadata/{path}": (git_blob, int(n_bytes))
    for path, git_blob, n_bytes in (line.split() for line in _TABLES.strip().splitlines())
}


def name_lists(train: str) -> dict[str, str]:
    """Our split -> the published list.

    Raises:
        UserError: there is no such training list.
    """
    if train not in ("train-100", "train-360"):
        raise UserError(f"metadata.train={train}: LibriMix has train-100 and train-360.")
    return {"train": train, "dev": "dev", "test": "test"}


def list_path(root: Path, n_src: int, name: str) -> Path:
    """Where a clone of LibriMix holds a list; ``root`` may also be its metadata folder."""
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    return folder / f"Libri{n_src}Mix" / f"libri{n_src}mix_{SUBSETS[name]}.csv"


def read_list(root: Path, n_src: int, name: str, speech: Path | None = None) -> list[MixtureRow]:
    """One published list with the speakers of its ``_info.csv``; ``speech`` plays no part.

    Raises:
        MissingInputError: the list is not there.
        UserError: it is for another number of speakers, or no mixture table.
    """
    path = list_path(root, n_src, name)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: not there; give a clone of https://github.com/JorisCos/LibriMix with "
            "--corpus librimix=DIR."
        )
    rows = read_mixture_table(path)
    if rows[0].n_src != n_src:
        raise UserError(
            f"{path}: has {rows[0].n_src} sources a mixture where mixtures.n_src={n_src}."
        )
    info = path.with_name(f"{path.stem}_info.csv")
    known = {line["mixture_ID"]: line for line in read_rows(info)} if info.is_file() else {}
    return [row.with_columns(_name_speakers(row, known.get(row.mixture_id, {}))) for row in rows]


def _name_speakers(row: MixtureRow, known: dict[str, str]) -> dict[str, str]:
    """Speakers and sexes; the published IDs are floats such as ``4077.0``, the paths' are not."""
    columns = {}
    for k, source in enumerate(row.sources, 1):
        columns[f"speaker_{k}_ID"] = Path(source.path).stem.split("-")[0]
        columns[f"speaker_{k}_sex"] = known.get(f"speaker_{k}_sex", "")
    return columns


def name_subsets(train: str) -> tuple[str, ...]:
    """LibriSpeech's subsets whose utterances the lists of train, dev and test name."""
    return tuple(SUBSETS[name] for name in name_lists(train).values())


def is_published(root: Path, n_src: int, name: str) -> bool:
    """Whether the list is, byte for byte, the one at LibriMix's commit b898ca3."""
    return is_published_file(list_path(root, n_src, name))


def is_published_file(path: Path) -> bool:
    """Whether ``path`` is, byte by byte, the published table of its name.

    Raises:
        FileNotFoundError: no such file.
    """
    blobs = {Path(name).name: git_blob for name, (git_blob, _) in BLOBS.items()}
    return hash_git_blob(path) == blobs.get(path.name)


def read_lengths(root: Path, names: list[str]) -> dict[str, int]:
    """Samples of every utterance by path, where the clone has LibriSpeech's lists."""
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    tables = [folder / "LibriSpeech" / f"{SUBSETS[name]}.csv" for name in names]
    return {
        row["origin_path"]: int(row["length"])
        for table in tables
        if table.is_file()
        for row in read_rows(table)
    }


def explain_missing(paths: list[str]) -> str:
    """What to do about files that the lists name and that are in no archive; mostly nothing."""
    if any("sp08" in path or "sp12" in path for path in paths):
        return "sp08 and sp12 files: LibriMix's scripts/augment_train_noise.py makes them"
    return ""


def download(folder: Path, request: DownloadRequest) -> None:
    """Fetch the mixture tables and ``_info`` tables of a request's subsets and ``n_src``.

    Args:
        folder: gets ``librimix/metadata/Libri<n_src>Mix/libri<n_src>mix_<subset>.csv`` and
            ``_info.csv``.
        request: 2 or 3 sources; subsets by LibriSpeech's names, such as ``train-clean-100``.

    Raises:
        UserError: no such table is published, or the download failed.
    """
    n_src, subsets = request.n_src, request.subsets or tuple(SUBSETS.values())
    stems = [f"metadata/Libri{n_src}Mix/libri{n_src}mix_{subset}" for subset in subsets]
    names = [f"{stem}{ending}" for stem in stems for ending in (".csv", "_info.csv")]
    for name in names:
        if name not in BLOBS:
            known = ", ".join(Path(path).name for path in BLOBS if "Mix/" in path)
            raise UserError(f"LibriMix publishes no {name}; its tables are {known}.")
    for name in names:
        git_blob, size = BLOBS[name]
        path = folder / INFO.folder / name
        download_file(f"{BASE_URL}/{name}", path, git_blob=git_blob, size=size)


# What published test sets are recognised by.
FINGERPRINTS = ROOT / "egs" / "librimix" / "fingerprints.json"
LIST_LENGTH = 3000  # of every published test and dev list
_UTTERANCE = librispeech.UTTERANCE.pattern
MIXTURE_ID = re.compile(rf"{_UTTERANCE}(?:_{_UTTERANCE})+")
COLUMN = re.compile(r"mixture_ID|(source_\d+|noise)_(path|gain)")

# Mean input SI-SDR in dB of whole test sets in min mode, and how far a sound copy may be off, by
# list, type and rate. Two speakers at 8 kHz: known to these digits. The others are SI-SDR less
# SI-SDRi as the published models' cards state them, each rounded to 0.01 dB. Leaving out one
# mixture in 3,000 moves a mean by 0.003 dB, a step of 16 bits by less than 0.001 dB.
INPUT_SI_SDR_DB = {
    ("libri2mix_test-clean", "mix_clean", 8000): (0.0005, 0.01),
    ("libri2mix_test-clean", "mix_both", 8000): (-1.995, 0.01),
    ("libri2mix_test-clean", "mix_clean", 16000): (15.24 - 15.24, 0.02),
    ("libri2mix_test-clean", "mix_both", 16000): (10.62 - 12.55, 0.02),
    ("libri3mix_test-clean", "mix_clean", 8000): (8.58 - 11.98, 0.02),
    ("libri3mix_test-clean", "mix_both", 8000): (5.98 - 10.39, 0.02),
    ("libri3mix_test-clean", "mix_clean", 16000): (8.93 - 12.30, 0.02),
    ("libri3mix_test-clean", "mix_both", 16000): (5.93 - 10.28, 0.02),
}


def fingerprint_list(rows: list[MixtureRow]) -> dict[str, str]:
    """Fingerprints of a list: of the ``rows`` in LibriMix's own columns, and of the sorted ``ids``.

    Columns that other tables add, such as speakers, and the order of rows change neither.
    """
    is_own = COLUMN.fullmatch
    own = [
        ",".join(f"{key}={text}" for key, text in sorted(row.columns.items()) if is_own(key))
        for row in rows
    ]
    names = [row.mixture_id for row in rows]
    return {
        key: hash_text("\n".join(sorted(part))) for key, part in (("rows", own), ("ids", names))
    }


def recognise(rows: list[MixtureRow]) -> tuple[str, bool]:
    """The published list whose mixtures these are, by their IDs.

    Args:
        rows: of a table, or of audio that exists (then only the IDs are compared).

    Returns:
        the list, such as ``libri2mix_test-clean``, or empty; and whether the rows say the same
        as the published ones: False where the IDs are the same but paths or gains are not.
    """
    if any(row.fault for row in rows):
        return "", False
    own = fingerprint_list(rows)
    for name, known in (read_json(FINGERPRINTS) or {}).get("lists", {}).items():
        if known["ids"] == own["ids"]:
            return name, rows[0].origin == Origin.EXISTING or known["rows"] == own["rows"]
    return "", False


def parse_utterances(mixture_id: str) -> tuple[str, ...]:
    """Utterances that a mixture of LibriMix is named after; none for other names.

    >>> parse_utterances("1089-134686-0000_121-127105-0031")
    ('1089-134686-0000', '121-127105-0031')
    """
    return tuple(mixture_id.split("_")) if MIXTURE_ID.fullmatch(mixture_id) else ()


def has_ids(rows: list[MixtureRow]) -> bool:
    """Whether every mixture is called as LibriMix calls it: its utterances' names, joined."""
    return bool(rows) and all(parse_utterances(row.mixture_id) for row in rows)


def add_speakers(rows: list[MixtureRow]) -> list[MixtureRow]:
    """Rows with their speakers, which LibriMix's mixture IDs hold, where no table states any."""
    if not has_ids([row for row in rows if not row.fault]):
        return rows
    return [row if row.fault else _add_speakers(row) for row in rows]


def _add_speakers(row: MixtureRow) -> MixtureRow:
    speakers = map(librispeech.parse_speaker, parse_utterances(row.mixture_id))
    columns = {f"speaker_{k}_ID": name for k, name in enumerate(speakers, 1)}
    return row.with_columns({key: columns[key] for key in columns if key not in row.columns})


class InputComparison(NamedTuple):
    """Of a whole set's mean: a sentence (empty: nothing is published), what fits, a warning."""

    text: str
    kind: str
    warned: bool


def compare_input(name: str, kind: str, sample_rate: int, mean_db: float) -> InputComparison:
    """Whether a whole test set in min mode measures what the published one does.

    Args:
        name: of the list, see :func:`recognise`.
        kind: ``mix_clean`` or ``mix_both``; ``mix`` may be either.
        sample_rate: Hz.
        mean_db: its mean input SI-SDR.
    """
    kinds = ("mix_clean", "mix_both") if kind == "mix" else (kind,)
    anchors = {
        own: INPUT_SI_SDR_DB[name, own, sample_rate]
        for own in kinds
        if (name, own, sample_rate) in INPUT_SI_SDR_DB
    }
    if not anchors:
        return InputComparison("", "", False)
    expected = ", ".join(f"{db:+.4f} dB ({own})" for own, (db, _) in anchors.items())
    compared = (
        f"mean input SI-SDR {mean_db:+.4f} dB, that of the published {name} (min, {sample_rate} Hz)"
        f" {expected}"
    )
    for own, (expected_db, tolerance_db) in anchors.items():
        if abs(mean_db - expected_db) <= tolerance_db:
            return InputComparison(f"{compared}: {own} within {tolerance_db:g} dB.", own, False)
    text = (
        f"WARNING: {compared}: THESE ARE NOT THE STANDARD MIXTURES, and their scores are not "
        "comparable with published ones; render or download the set again."
    )
    return InputComparison(text, "", True)


def fingerprint_lists(root: Path) -> dict[str, dict[str, str]]:
    """Fingerprints of every published list under ``root``, by the list's file name."""
    paths = [list_path(root, n_src, name) for n_src, name in COUNTS if name in SUBSETS]
    return {
        path.stem: fingerprint_list(read_mixture_table(path)) for path in paths if path.is_file()
    }


def main() -> None:
    """Enter the lists of the folder given into fingerprints.json; others stay."""
    known = read_json(FINGERPRINTS)
    lists = known.get("lists", {}) | fingerprint_lists(Path(sys.argv[1]))
    whole = known | {"lists": dict(sorted(lists.items()))}
    write_text(FINGERPRINTS, json.dumps(whole, indent=2) + "\n")  # older entries do not move


if __name__ == "__main__":
    main()
