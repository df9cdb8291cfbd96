"""Every command: its help, the checks of its words, and what is imported for them."""

import importlib
import re
import subprocess
import sys
import time

import pytest

from separation.cli.commands import COMMANDS, STAGE_COMMANDS, TOOL_COMMANDS
from separation.cli.main import PROGRAM, build_parser, main, parse_words
from separation.experiment.options import RecipeOptions
from separation.files import write_json
from separation.stages.state import mark_done
from tests.conftest import ROOT
from tests.support.mixture_folders import write_folder

HEAVY = ("torch", "asteroid", "lightning_fabric", "scipy", "numpy", "soundfile")
LIST_IMPORTED = f"""
import sys
from separation.cli.main import main
code = main(sys.argv[1:])
print(code, *sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""


def make_parser(name: str):
    command = COMMANDS[name]
    return build_parser(name, command, importlib.import_module(command.module))


def list_imported(*words: str) -> str:
    """Exit code and heavy packages after a call in a process of its own."""
    call = [sys.executable, "-c", LIST_IMPORTED, *words]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_help_text_and_appears_in_the_help(name, capsys):
    parser = make_parser(name)
    assert main([name, "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for action in parser._actions:
        assert action.help and len(action.help) > 8, action.dest
        shown = action.option_strings or [action.metavar]
        assert all(word in page for word in shown), action.dest
        assert action.help.split()[0] in page


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_a_field_with_a_default_or_required(name):
    """What the parser gives is what the typed function takes."""
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    fields = module.Options.__dataclass_fields__
    destinations = {action.dest for action in make_parser(name)._actions} - {"help"}
    assert destinations <= set(fields)
    required = {a.dest for a in make_parser(name)._actions if a.required}
    for field in fields.values():
        assert field.kw_only
        if field.name in required | set(command.fixed):
            continue
        assert hasattr(module.Options, field.name), f"{field.name} has no default"


def test_the_help_lists_every_command_and_what_it_does(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in (STAGE_COMMANDS | TOOL_COMMANDS).items():
        assert any(line.split(maxsplit=1) == [name, command.help] for line in lines), name


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(words):
    assert list_imported(*words) == "0"


def test_help_answers_at_once():
    """0.3 s at most of a CPU's time; the clock's time depends on who else works here."""
    began = time.process_time(), sum(_used_by_children())
    subprocess.run([sys.executable, "-m", "separation", "--help"], cwd=ROOT, check=True)
    assert sum(_used_by_children()) - began[1] < 0.3


def _used_by_children() -> tuple[float, float]:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime, usage.ru_stime


def test_a_stage_that_is_done_imports_neither_torch_nor_asteroid(tmp_path):
    """Through the real entry point, all stages: a driver with nothing to do answers at once."""
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 2)
    words = ["--recipe", "folder/ConvTasNet", "--device", "cpu", "--nj", "1"]
    corpora = [f"{split}={tmp_path / split}" for split in ("train", "dev", "test")]
    words += [word for text in corpora for word in ("--corpus", text)]
    words += ["--data", str(tmp_path / "data"), "--exp", str(tmp_path / "exp")]
    options = parse_words(make_parser("train"), words)
    experiment = RecipeOptions(**options).open_experiment()
    score = {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 2}
    group = {"n_mixtures": 2, "n_scored": 2, "si_sdri": score, "sdri": score}
    summary = {"about": {}, "scores": {"test": {"model": {"all": group}}}}
    write_json(experiment.folder.path / "evaluation" / "summary.json", summary)
    for stage in STAGE_COMMANDS:
        mark_done(experiment, stage, [])
    for stage in STAGE_COMMANDS:
        call = [sys.executable, "-c", LIST_IMPORTED, stage, *words]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"{stage}: done already" in done.stdout, done.stdout + done.stderr
        code, *imported = done.stderr.splitlines()[-1].split()
        assert code == "0" and not {"torch", "asteroid", "lightning_fabric"} & set(imported)


MISTAKES = [
    (["trian"], "there is no command trian; did you mean train?"),
    (["frobnicate"], f"there is no command frobnicate; {PROGRAM} --help lists them."),
    (["--recipe", "x"], "there is no option --recipe"),
    ([], "which command?"),
    (["train", "--tga", "x"], "unknown option --tga; did you mean --tag?"),
    (["train", "--tga=x"], "unknown option --tga; did you mean --tag?"),
    (
        ["train", "--frob", "3"],
        f"unknown option --frob; {PROGRAM} train --help lists all.",
    ),
    (["train", "more"], f"more: belongs to no option; see {PROGRAM} train --help."),
    (["train", "--tag"], f"--tag expected one argument; see {PROGRAM} train --help."),
    (["train", "--tag", ""], "--tag needs a value that is not empty."),
    (["train", "--tag="], "--tag needs a value that is not empty."),
    (["train", "--tag", "../x"], "--tag ../x: use letters, digits, '.', '_', '-'"),
    (["train", "--tag", ".hidden"], "--tag .hidden: use letters"),
    (["train", "--nj", "0"], "--nj 0: should be a whole number, 1 or more."),
    (["train", "--nj", "two"], "--nj two: should be a whole number, 1 or more."),
    (["train", "--device", "tpu"], "--device tpu: choose of auto, cpu, cuda."),
    (["train", "--corpus", "speech"], "--corpus speech: write it as NAME=DIR."),
    (["train", "--corpus", "=dir"], "--corpus =dir: write it as NAME=DIR."),
    (["train", "--set", "x"], "--set x: write it as section.key=value."),
    (["train", "--set", "x=1"], "--set x=1: write it as section.key=value."),
    (["train", "--recipe", "mini/ConvTasnet"], "--recipe mini/ConvTasnet: no "),
    (["overfit", "--minutes", "0"], "--minutes 0: should be a number, above 0."),
    (["overfit", "--minutes", "nan"], "--minutes nan: should be a number, above 0."),
    (["overfit", "--n", "1"], "--n 1: should be a whole number, 2 or more."),
    (["separate", "--out", "o"], "the following arguments are required: FILE; see"),
    (["render", "t.csv", "--out", "o", "--modes", "mid"], "--modes mid: choose of min, max."),
    (["render", "t.csv", "--out", "o", "--types", "mix"], "--types mix: choose of mix_clean"),
    (["render", "t.csv", "--out", "o", "--rates", "8001"], "--rates 8001: give Hz, whole thou"),
    (["render", "t.csv", "--out", "o", "--rates", "fast"], "--rates fast: give Hz, whole thou"),
    (["validate", "x", "--mode", "mid"], "--mode mid: choose of min, max."),
    (["validate", "x", "--type", "mixed"], "--type mixed: choose of mix"),
    (["validate", "x", "--allow", "all"], "--allow all: choose of bad-row, unreadable"),
    (["validate", "x", "--rate", "800"], "--rate 800: give Hz within 4000..48000"),
    (["validate", "x", "--min-s", "-1"], "--min-s -1: should be a number, 0 or more."),
    (["validate", "x", "--level-tolerance", "inf"], "--level-tolerance inf: should be a number"),
    (["compare", "--models", "m", "--test-sets", "s", "--limit", "0"], "--limit 0: should be"),
    (["compare", "--models", "m", "--test-sets", "s", "--worst", "-1"], "--worst -1: should be"),
    (["compare", "--models", "m", "--test-sets", "s", "--metrics", "snr"], "--metrics snr: choose"),
    (["compare", "--models", "m", "--test-sets", "s", "--oracles", "ipm"], "--oracles ipm: choose"),
    (["compare", "--models", "m", "m", "--test-sets", "s"], "--models m: is given twice"),
    (["compare", "--models", "irm", "--test-sets", "s"], "--models irm: is what a reference is"),
    (["diagnose"], "diagnose what? Name an experiment's folder"),
    (["diagnose", "none"], "none: holds no conf.yml of an experiment"),
    (["diagnose", "none", "--recipe", "mini/ConvTasNet"], "none and --recipe, --set or --corpus"),
    (["diagnose", "none", "--against", "much"], "--against much: should be a number, 0 or more."),
    (["diagnose", "none", "--language", "de"], "--language de: choose of en, zh."),
    (["publish", "exp", "--out", "o", "--name", "mini"], "--name mini: write it as USER/NAME"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {message}") and printed.err.count("\n") == 1
    assert printed.err.endswith(".\n") and not printed.out
    assert not list(tmp_path.iterdir())


def test_a_tag_never_leaves_the_folder_of_experiments(tmp_path, capsys):
    places = ["--data", str(tmp_path / "data"), "--exp", str(tmp_path / "exp")]
    assert main(["train", "--tag", "../x", *places]) == 2
    assert "--tag ../x" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_options_are_checked_before_anything_heavy_is_imported():
    words = ["--models", "m", "m", "--test-sets", "s"]
    assert list_imported("compare", *words) == "2"
    assert list_imported("separate", "no.wav", "--model", "m", "--out", "o") == "2"


def test_only_options_that_were_given_are_passed_on():
    assert parse_words(make_parser("train"), []) == {}
    words = ["--corpus", "a=b", "--corpus", "c=d", "--nj", "3", "--set", "a.b=c=d"]
    values = parse_words(make_parser("train"), words)
    assert values == {"corpora": ["a=b", "c=d"], "n_jobs": 3, "overrides": ["a.b=c=d"]}


def test_a_reader_that_goes_away_is_no_error():
    """``| head`` ended in a traceback."""
    for streams in ("", "2>&1"):
        command = f"{sys.executable} -m separation models {streams} | head -c 1"
        done = subprocess.run(
            ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
            **{"cwd": ROOT, "text": True, "capture_output": True},
            check=True,
        )
        assert done.stderr == "" and re.fullmatch(r".(0|141)", done.stdout.strip()), done


def test_a_closed_pipe_of_something_else_is_still_an_error(monkeypatch):
    def fail(words):
        raise BrokenPipeError("of a worker")

    monkeypatch.setattr("separation.cli.main.run_words", fail)
    with pytest.raises(BrokenPipeError, match="of a worker"):
        main([])
