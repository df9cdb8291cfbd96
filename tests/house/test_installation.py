"""bootstrap.sh, the package, and tests/run.sh: what a person types in a fresh clone.

The installation itself is shown by CI, which begins without a virtual environment; here a
Python that only pretends stands in for the real one, so that every fault can be had in an instant.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from separation import __version__, environment
from tests.conftest import ROOT, make_voice

INSTALLED = (
    *("bootstrap.sh", "pyproject.toml"),
    *("requirements.txt", "requirements-nodeps.txt", "requirements-voices.txt"),
    *(f"requirements/hashed{part}.txt" for part in ("", "-cuda", "-nodeps")),
)
# PRETEND_* say how it behaves; every call is a line of $PRETEND_CALLS.
PRETENDING_PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$PRETEND_CALLS"
case "$*" in
  "-c import sys;"*)
    exec {python} -c "import sys; sys.version_info = (3, ${{PRETEND_MINOR:-13}}); $2"
    ;;
  -V) echo "Python 3.13.0" ;;
  "-m venv --clear "*)
    rm -rf "$4" && mkdir -p "$4/bin"
    if [[ -n "${{PRETEND_VENV_SAYS:-}}" ]]; then
      echo "$PRETEND_VENV_SAYS"
      exit 1
    fi
    echo "command = /usr/bin/python3 -m venv --clear $4" >"$4/pyvenv.cfg"
    cp "$0" "$4/bin/python"
    ;;
  "-m pip install "*)
    sleep "${{PRETEND_INSTALL_S:-0}}"
    if [[ -n "${{PRETEND_PIP_SAYS:-}}" ]]; then
      echo "$PRETEND_PIP_SAYS"
      exit 1
    fi
    echo "  Downloading torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl (915.1 MB)"
    ;;
esac
"""


class Clone:
    """A copy of the files that install, on a machine whose only Pythons pretend."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the clone"
        self.root.mkdir()
        for name in INSTALLED:
            (self.root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
            (self.programs / name).write_text(PRETENDING_PYTHON.format(python=sys.executable))
            (self.programs / name).chmod(0o755)
        self.calls = folder / "calls.txt"

    def start(self, *words: str, **changes: str) -> subprocess.Popen:
        known = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        own = {"PATH": f"{self.programs}:/usr/bin:/bin", "PRETEND_CALLS": str(self.calls)}
        return subprocess.Popen(
            ["bash", str(self.root / "bootstrap.sh"), *words],
            env=known | own | changes,
            cwd=self.root.parent,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess:
        process = self.start(*words, **changes)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def count_installs(self) -> int:
        return self.calls.read_text().count("pip install ") if self.calls.exists() else 0


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_bootstrap_installs_once_and_ends_with_the_line_to_type(clone):
    done = clone.run()
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "torch 2.13.0 (915.1 MB)" in done.stdout
    assert ".venv/bin/python -m separation --help" in done.stdout.splitlines()[-1]
    calls = clone.calls.read_text()
    assert f"-r {clone.root}/requirements.txt" in calls
    assert f"--no-deps -r {clone.root}/requirements-nodeps.txt" in calls
    assert f"--no-deps --no-build-isolation -e {clone.root}" in calls
    count = clone.count_installs()
    again = clone.run()
    assert again.returncode == 0 and clone.count_installs() == count
    assert "making" not in again.stdout and again.stdout.splitlines()[-1].endswith("all commands")


def test_changed_requirements_are_installed(clone):
    clone.run()
    count = clone.count_installs()
    with open(clone.root / "requirements.txt", "a") as handle:
        handle.write("another==1.0\n")
    assert clone.run().returncode == 0 and clone.count_installs() > count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PRETEND_MINOR": "10"}, "Python 3.11 to 3.14 is needed; install it (apt-get install"),
        ({"PRETEND_MINOR": "15"}, "Python 3.11 to 3.14 is needed"),
        ({"PYTHON": "python3.9"}, "PYTHON=python3.9: not a Python from 3.11 to 3.14"),
        ({"PRETEND_VENV_SAYS": "because ensurepip is not\navailable."}, "install python3-venv"),
        ({"PRETEND_VENV_SAYS": "[Errno 28] No space left on device"}, "no space left on this disk"),
        ({"PRETEND_VENV_SAYS": "Error: [Errno 13] Permission denied"}, "Permission denied."),
        (
            {"PRETEND_PIP_SAYS": "broken by 'NewConnectionError('\nERROR: No matching version"},
            "the package index cannot be reached; check the network",
        ),
        ({"PRETEND_PIP_SAYS": "ERROR: [Errno 28] No space left on device"}, "no space left in"),
        ({"PRETEND_PIP_SAYS": "ERROR: No matching distribution found for x==1"}, "found for x==1;"),
    ],
)
def test_a_failed_installation_says_why_in_one_sentence_and_goes_on(clone, changes, message):
    done = clone.run(**changes)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert clone.run().returncode == 0 and clone.count_installs() >= 3


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_python_3_11_to_3_14_are_taken(clone, minor):
    assert clone.run(PRETEND_MINOR=str(minor)).returncode == 0


def test_where_python3_is_too_new_or_old_another_is_looked_for(clone):
    (clone.programs / "python3").write_text("#!/usr/bin/env bash\nexit 1\n")
    (clone.programs / "python3.14").unlink()
    assert clone.run().returncode == 0
    assert "-m venv" in clone.calls.read_text()


def test_of_two_installations_at_a_time_one_waits_for_the_other(clone):
    both = [clone.start(PRETEND_INSTALL_S="0.3") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("waiting for another installation" in text for text in outputs) == 1
    assert clone.count_installs() == 3


def test_an_interrupted_installation_says_so_and_goes_on(clone):
    process = clone.start(PRETEND_INSTALL_S="2")
    while not clone.count_installs():
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the same command to go on" in errors
    assert clone.run().returncode == 0


def test_a_clone_that_was_moved_is_installed_anew(clone):
    clone.run()
    count = clone.count_installs()
    clone.root = clone.root.rename(clone.root.with_name("elsewhere"))
    done = clone.run()
    assert done.returncode == 0 and "making a virtual environment" in done.stdout
    assert clone.count_installs() == 2 * count


def test_an_environment_whose_python_is_gone_is_made_anew(clone):
    clone.run()
    (clone.root / ".venv" / "bin" / "python").write_text("#!/no/such/python\n")
    done = clone.run()
    assert done.returncode == 0 and "making a virtual environment" in done.stdout


def test_unknown_option_and_help(clone):
    done = clone.run("--dev")
    assert done.returncode == 2 and done.stderr.startswith("error: unknown option --dev; ")
    done = clone.run("--help")
    assert done.returncode == 0 and "Usage: bash bootstrap.sh" in done.stdout
    assert not clone.calls.exists()


def test_an_active_environment_is_used_as_it_is(clone, tmp_path):
    """It is left alone; where it lacks something, the sentence holds the commands to type."""
    active = tmp_path / "active"
    (active / "bin").mkdir(parents=True)
    (active / "bin" / "python").write_text(f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n')
    (active / "bin" / "python").chmod(0o755)
    done = clone.run(VIRTUAL_ENV=str(active))
    assert done.returncode == 0, done.stderr
    assert "python -m separation --help" in done.stdout.splitlines()[-1]
    with open(clone.root / "requirements.txt", "a") as handle:
        handle.write("no-such-package==1.0\n")
    done = clone.run(VIRTUAL_ENV=str(active))
    assert done.returncode == 2 and "lacks no-such-package; deactivate it" in done.stderr
    assert not (clone.root / ".venv").exists() and clone.count_installs() == 0


def test_every_requirement_is_pinned():
    for name in ("", "-dev", "-nodeps", "-voices"):
        name = f"requirements{name}.txt"
        lines = [line for line in (ROOT / name).read_text().splitlines() if line[0] != "#"]
        assert lines and all(re.fullmatch(r"[\w-]+==[\w.]+(; .+)?", line) for line in lines)


def read_pins(*names: str) -> dict[str, str]:
    """Versions by the name of the package, as indexes write it."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    pins = [re.match(r"([\w-]+)==([\w.]+)", line) for line in lines]
    return {pin[1].lower().replace("_", "-"): pin[2] for pin in pins if pin}


def test_hashed_requirements_are_those_that_are_pinned():
    """A version that changed needs ``bash requirements/lock.sh`` again."""
    folder = "requirements/hashed"
    pinned, hashed = read_pins("requirements.txt"), read_pins(f"{folder}.txt", f"{folder}-cuda.txt")
    assert pinned.items() <= hashed.items()
    bare = read_pins("requirements-nodeps.txt", "requirements-voices.txt")
    assert read_pins(f"{folder}-nodeps.txt") == bare
    for part in ("", "-cuda", "-nodeps"):
        text = (ROOT / f"{folder}{part}.txt").read_text()
        packages = re.split(r"^(?=\w)", text, flags=re.M)[1:]
        assert packages and all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", p) for p in packages)


def test_of_hashed_requirements_nothing_else_is_installed(clone):
    done = clone.run("--hashed")
    assert done.returncode == 0, done.stderr
    asked, *rest = [line for line in clone.calls.read_text().splitlines() if "pip install" in line]
    assert "--dry-run" in asked and "torch==" in asked  # which build pip would take
    folder = clone.root / "requirements"
    assert f"-r {folder}/hashed.txt -r {folder}/hashed-cuda.txt --require-hashes" in rest[0]
    assert "--only-binary :all:" in rest[0]
    assert f"--no-deps -r {folder}/hashed-nodeps.txt" in rest[1] and len(rest) == 3


@pytest.mark.long
@pytest.mark.parametrize("python", ["python3.11", "python3.12"])
def test_hashed_requirements_are_installed_into_an_empty_environment(python, tmp_path):
    """Needs the network, and for PyPI's torch 6 GB."""
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} is not there")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    known = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    words = ["bash", clone / "bootstrap.sh", "--hashed"]
    subprocess.run(words, check=True, env=known | {"PYTHON": python})
    soundfile.write(tmp_path / "a.wav", make_voice(1, 120, 2, 8000), 8000)
    words = [clone / ".venv/bin/python", "-m", "separation", "separate", tmp_path / "a.wav"]
    subprocess.run([*words, "--out", tmp_path / "out", "--mode", "overlap"], cwd=clone, check=True)
    assert len(list((tmp_path / "out").glob("*.wav"))) == 2


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A virtual environment where ``pip install -e`` of a copy of the checkout was run, offline."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "separation", folder / "checkout" / "separation")
    for name in ("local", "conf", "egs"):
        shutil.copytree(ROOT / name, folder / "checkout" / name)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "checkout")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (found,) = venv.glob("lib/python*/site-packages")
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (found / "requirements.pth").write_text("\n".join(paths))
    pip = [sys.executable, "-m", "pip", "--python", str(venv), "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *options, "-e", folder / "checkout"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_installed_command_works_from_any_folder(installed):
    def call(*words: str) -> str:
        command = [installed / "venv" / "bin" / "separation", *words]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "separate" in call("--help")
    assert "JorisCos/ConvTasNet_Libri2Mix_sepclean_8k" in call("models")
    ask = "import separation, local; print(separation.__file__, separation.__version__)"
    python = installed / "venv" / "bin" / "python"
    told = subprocess.run([python, "-c", ask], cwd="/", capture_output=True, text=True, check=True)
    file, version = told.stdout.split()
    assert Path(file).parent == installed / "checkout" / "separation"
    assert version == __version__


def test_a_package_without_its_checkout_says_that_recipes_are_missing(tmp_path):
    shutil.copytree(ROOT / "separation", tmp_path / "separation")
    shutil.copytree(ROOT / "local", tmp_path / "local")
    command = [sys.executable, "-m", "separation", "preflight"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install -e" in done.stderr


@pytest.mark.parametrize(
    ("interpreter", "active", "expected"),
    [
        (ROOT / ".venv/bin/python", "", ".venv/bin/python -m separation models"),
        (Path("/opt/venv/bin/python"), "/opt/venv", "python -m separation models"),
        (Path("/opt/venv/bin/python"), "/other", "/opt/venv/bin/python -m separation models"),
    ],
)
def test_messages_name_the_interpreter_that_runs(monkeypatch, interpreter, active, expected):
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setattr(sys, "prefix", str(interpreter.parents[1]))
    monkeypatch.setenv("VIRTUAL_ENV", active)
    assert environment.format_command("models") == expected


def test_a_part_of_the_tests_runs_without_lint_and_types(call):
    done = call("bash", "tests/run.sh", "tests/house/test_layers.py")
    assert done.returncode == 0 and "[100%]" in done.stdout
    assert "formatted" not in done.stdout and "no issues found" not in done.stdout
    assert "tests/metrics" in call("bash", "tests/run.sh", "--help").stdout
