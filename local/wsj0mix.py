"""WSJ0-2mix and WSJ0-3mix: the published lists and active levels of pywsj0-mix."""

import re
from pathlib import Path

from local.wsj0 import UTTERANCE, index_corpus, name_utterance
from separation.corpora.plugin import CorpusInfo, Licence
from separation.corpora.recording_checks import read_table_text
from separation.download.fetch import hash_git_blob
from separation.errors import MissingInputError, UserError
from separation.mixtures.table import MixtureRow, parse_row

INFO = CorpusInfo(
    name="wsj0mix",
    kind="lists",
    title="pywsj0-mix",
    licence=Licence("MIT", "https://github.com/mpariente/pywsj0-mix/blob/master/LICENSE"),
    author="Manuel Pariente",
    author_link="https://github.com/mpariente",
    homepage="https://github.com/mpariente/pywsj0-mix",
    sample_rate=16000,
    readme="egs/wsj0mix/README.md",
    mixtures="WSJ0-{n_src}mix",
    list_suffix=".txt",
    shared_speakers=frozenset({("train", "dev")}),  # by design: cv has tr's speakers
)
# git blobs at commit 6ca4c92; 20,000, 5,000 and 3,000 mixtures
BLOBS = {
    (2, "tr"): "44ce8101818fce02fa775388708e3c68b3e00c10",
    (2, "cv"): "fd4cea0ed9d5f94de20c70ca306d29ca76985bec",
    (2, "tt"): "3ba063af6654f9f097d0994e9713afd862e9328f",
    (3, "tr"): "0a683dc6d70452389c3325ee679105e964b01f7b",
    (3, "cv"): "2a351f1c0c75aafa72d7e07e12266a91552990f2",
    (3, "tt"): "07ddc8464dc93e49094127e64c33948bf62c7704",
}
_SNR = r"-?[0-9.]+(?:e-?[0-9]+)?"
_SOURCE = rf"{UTTERANCE.pattern}_{_SNR}"
MIXTURE_ID = re.compile(rf"{_SOURCE}(?:_{_SOURCE})+")


def name_lists(train: str) -> dict[str, str]:
    """Our split -> the published list; there is one for training."""
    if train not in ("train", "tr"):
        raise UserError(f"metadata.train={train}: wsj0-mix has one training list, tr.")
    return {"train": "tr", "dev": "cv", "test": "tt"}


def parse_name(path: Path) -> tuple[int, str]:
    """Number of speakers and condition in a list's file name.

    >>> parse_name(Path("mix_2_spk_tt.txt"))
    (2, 'tt')
    """
    found = re.fullmatch(r"mix_([23])_spk_(tr|cv|tt)", path.stem)
    if not found:
        raise UserError(f"{path}: a list of wsj0-mix is named mix_2_spk_tr.txt or the like.")
    return int(found[1]), found[2]


def list_path(root: Path, n_src: int, name: str) -> Path:
    """Where a clone of pywsj0-mix holds a list; ``root`` may also be its metadata folder."""
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    return folder / f"mix_{n_src}_spk_{name}.txt"


def read_list(root: Path, n_src: int, name: str, speech: Path) -> list[MixtureRow]:
    """One list as rows ``mixture_ID, source_k_path, source_k_level, source_k_snr_db``.

    The paths are those under which this copy of WSJ0 holds the files; of an utterance that it
    lacks, the list's own.

    Args:
        root: a clone of pywsj0-mix, or its ``metadata`` folder.
        n_src: 2 or 3.
        name: ``tr``, ``cv`` or ``tt``.
        speech: the WSJ0 corpus, as shipped (discs in sub-folders, .wv1) or converted (.wav).

    Raises:
        MissingInputError: the list, the levels, or all utterances are not there.
    """
    path = list_path(root, n_src, name)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: not there; clone https://github.com/mpariente/pywsj0-mix and give "
            "--corpus wsj0mix=DIR."
        )
    entries = _read_entries(path, n_src)
    files = index_corpus(speech)
    levels = read_levels(path.parent / "activlev")
    try:
        return [_make_row(names, snrs, files, levels, path) for names, snrs in entries]
    except ValueError as error:  # a number that is none, or a UserError of the row
        raise UserError(f"{path}: {str(error).rstrip('.')}; fetch the list again.") from error


def _read_entries(path: Path, n_src: int) -> list[tuple[list[str], list[str]]]:
    entries = []
    for number, line in enumerate(read_table_text(path)[0].splitlines(), 1):
        fields = line.split()
        if len(fields) != 2 * n_src:
            raise UserError(
                f"{path}: line {number} has {len(fields)} fields where {2 * n_src} are expected "
                f"for mixtures.n_src={n_src}."
            )
        entries.append((fields[::2], fields[1::2]))
    return entries


def is_published(root: Path, n_src: int, name: str) -> bool:
    """Whether the list is, byte for byte, the one at pywsj0-mix's commit 6ca4c92."""
    return hash_git_blob(list_path(root, n_src, name)) == BLOBS[n_src, name]


def explain_missing(paths: list[str]) -> str:
    """What the copy of WSJ0 may lack."""
    return "is it whole, with si_tr_s, si_dt_05 and si_et_05?"


def read_lengths(root: Path, names: list[str]) -> dict[str, int]:
    """No lengths are published."""
    return {}


def _make_row(
    names: list[str], snrs: list[str], files: dict[str, str], levels: dict[str, str], path: Path
) -> MixtureRow:
    stems = [Path(name).stem for name in names]
    missing = [stem for stem in stems if stem not in levels]
    if missing:
        raise UserError(f"{path.parent / 'activlev'} has no active level of {missing[0]}")
    columns = {"mixture_ID": name_mixture(stems, [float(snr) for snr in snrs])}
    for k, (name, stem, snr) in enumerate(zip(names, stems, snrs, strict=True), 1):
        columns[f"source_{k}_path"] = files.get(name_utterance(name), name)
        columns[f"source_{k}_level"] = levels[stem]
        columns[f"source_{k}_snr_db"] = snr
    for k, stem in enumerate(stems, 1):
        columns[f"speaker_{k}_ID"] = stem[:3]
        columns[f"speaker_{k}_sex"] = ""
    return parse_row(columns)


def parse_utterances(mixture_id: str) -> tuple[str, ...]:
    """Utterances that a mixture of wsj0-mix is named after; none for other names.

    >>> parse_utterances("01to030v_0.76421_20ga010m_-0.76421")
    ('01to030v', '20ga010m')
    """
    return tuple(mixture_id.split("_")[::2]) if MIXTURE_ID.fullmatch(mixture_id) else ()


def name_mixture(stems: list[str], snrs_db: list[float]) -> str:
    """The published file name, without suffix.

    >>> name_mixture(["01to030v", "20ga010m"], [0.76421, -0.76421])
    '01to030v_0.76421_20ga010m_-0.76421'
    """
    pairs = zip(stems, snrs_db, strict=True)
    return "_".join(f"{stem}_{format(snr, '12.8g').strip()}" for stem, snr in pairs)


def read_levels(folder: Path) -> dict[str, str]:
    """Active level (ITU-T P.56, as power) of every utterance, as published."""
    tables = sorted(folder.glob("activlev_*.txt"))
    if not tables:
        raise MissingInputError(f"{folder}: holds no activlev_*.txt; clone pywsj0-mix whole.")
    lines = (line.split() for table in tables for line in read_table_text(table)[0].splitlines())
    return {fields[0]: fields[1] for fields in lines if len(fields) >= 2}
