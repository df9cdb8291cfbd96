"""Runs pywsj0-mix on the tests' small WSJ0 and records what it makes.

    .venv/bin/python -m benchmarks.wsj0mix_reference CLONE_OF_PYWSJ0_MIX

CLONE_OF_PYWSJ0_MIX is https://github.com/mpariente/pywsj0-mix at commit 6ca4c92; nothing of it
is kept but checksums, in tests/data/wsj0mix_reference.json.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from separation.files import write_json
from tests.support.librimix_tree import DATA, hash_folder
from tests.support.wsj0_tree import LISTS, write_wsj0


def run_official(clone: Path, n_src: int, rate: int, work: Path) -> Path:
    """Run the generator in ``work``; returns its output folder."""
    shutil.copytree(LISTS, work / "metadata", dirs_exist_ok=True)
    write_wsj0(work / "corpus", n_src)
    script = clone / "generate_wsjmix.py"
    options = ["-p", work / "corpus", "-o", work / "out", "-n", n_src, "-sr", rate]
    command = [sys.executable, script, *options]
    subprocess.run([str(part) for part in command], check=True, cwd=work)
    return work / "out"


def main() -> None:
    clone = Path(sys.argv[1])
    git = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    checksums = {}
    with tempfile.TemporaryDirectory() as work:
        for n_src in (2, 3):
            for rate in (8000, 16000):
                out = run_official(clone, n_src, rate, Path(work))
        for folder in sorted(out.glob("*speakers/wav*/*/*/*")):
            names = sorted(path.stem for path in folder.glob("*.wav"))
            checksums[str(folder.relative_to(out))] = {
                "names": names,
                "sha256": hash_folder(folder, names),
            }
    write_json(DATA / "wsj0mix_reference.json", {"commit": commit, "folders": checksums})
    print(len(checksums), "folders")


if __name__ == "__main__":
    main()
