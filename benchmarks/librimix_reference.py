"""Runs LibriMix's official generator on the tests' tree and records what it makes.

    .venv/bin/python -m benchmarks.librimix_reference CLONE_OF_LIBRIMIX

CLONE_OF_LIBRIMIX is https://github.com/JorisCos/LibriMix at commit b898ca3; nothing of it is
kept but checksums and SNRs, in tests/data/librimix_reference.json.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from separation.files import read_rows, write_json
from tests.support.librimix_tree import DATA, hash_folder, read_reference_rows, write_tree

TYPES = ("mix_clean", "mix_both", "mix_single")


def run_official(clone: Path, n_src: int, work: Path) -> Path:
    """Run the generator for all rates, modes and types; returns its Libri<n>Mix folder."""
    metadata = work / f"metadata{n_src}"
    metadata.mkdir()
    shutil.copy(DATA / f"libri{n_src}mix_test-clean.csv", metadata)
    write_tree(read_reference_rows(n_src), work / "LibriSpeech", work / "wham_noise")
    script = clone / "scripts" / "create_librimix_from_metadata.py"
    places = ["--librispeech_dir", work / "LibriSpeech", "--wham_dir", work / "wham_noise"]
    places += ["--metadata_dir", metadata, "--librimix_outdir", work / "out"]
    what = ["--n_src", n_src, "--freqs", "8k", "16k", "--modes", "min", "max", "--types", *TYPES]
    command = [sys.executable, script, *places, *what]
    subprocess.run([str(part) for part in command], check=True)
    return work / "out" / f"Libri{n_src}Mix"


def describe_output(tree: Path, n_src: int) -> dict:
    """Checksum of every folder and SNRs of every mixture of one official output."""
    names = [row["mixture_ID"] for row in read_reference_rows(n_src)]
    folders = sorted(tree.glob("wav*/*/test/*"))
    metrics = sorted(tree.glob("wav*/*/metadata/metrics_*.csv"))
    return {
        "sha256": {str(p.relative_to(tree)): hash_folder(p, names) for p in folders},
        "snrs_db": {
            str(p.relative_to(tree)): [
                [round(float(v), 6) for k, v in row.items() if k != "mixture_ID"]
                for row in read_rows(p)
            ]
            for p in metrics
        },
    }


def main() -> None:
    clone = Path(sys.argv[1])
    git = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    reference: dict = {"commit": commit}
    with tempfile.TemporaryDirectory() as work:
        for n_src in (2, 3):
            tree = run_official(clone, n_src, Path(work))
            reference[f"Libri{n_src}Mix"] = describe_output(tree, n_src)
    write_json(DATA / "librimix_reference.json", reference)
    print(json.dumps({key: len(value) for key, value in reference.items()}))


if __name__ == "__main__":
    main()
