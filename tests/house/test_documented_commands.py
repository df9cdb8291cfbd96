"""Every command that docs, usage texts and messages name can be pasted on plain Debian.

There is no ``python`` there, only ``python3`` and, once it is installed, ``.venv/bin/``. Words
in capitals (DIR, EXP) stand for what the reader puts there.
"""

import ast
import importlib
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from separation.cli.commands import COMMANDS
from separation.cli.main import build_parser, parse_words
from separation.config.load import load_conf
from separation.errors import UserError
from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("egs/*/README.md")),
    *sorted(ROOT.glob("benchmarks/**/README.md")),
    ROOT / "separation" / "models" / "shipped" / "README.md",
]
SOURCE_PATTERNS = (
    *(
        "separation/**/*.py",
        "local/*.py",
        "local/*.sh",
        "benchmarks/**/*.py",
        "benchmarks/*/*.sh",
    ),
    *("*.sh", "tests/run.sh", "conf/*.yml", "egs/**/*.yml"),
)
SOURCES = [path for pattern in SOURCE_PATTERNS for path in ROOT.glob(pattern)]
# Debian's, the shell's, and the machine's where a page says so (srun)
PROGRAMS = [
    "apt-get",
    "cd",
    "command",
    "exit",
    "export",
    "find",
    "git",
    "ln",
    "pip",
    "python3",
    "source",
    "tar",
]
NUMBERS = {"N", "M", "HZ", "DB"}


def split_commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command of some shell code, comments and operators left out."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|"):
                if command:
                    yield command
                command = []
            elif command or not re.match(r"\w+=", word):  # an assignment before the program
                command.append(word)


def list_commands(page: Path) -> Iterator[list[str]]:
    """The commands of a page: in bash blocks, after ``$`` in others, and in the running text."""
    text = page.read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        joined = block.replace("\\\n", " ")
        typed = "\n".join(re.findall(r"^\$ (.*)$", joined, re.M))
        yield from split_commands(typed or joined * (language == "bash"))
    for phrase in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if re.match(r"(bash|python3?|pip|\.venv/bin/\w+) \S", phrase):
            yield from split_commands(" ".join(phrase.split()))


def explain_fault(words: list[str]) -> str:
    """Why a command cannot be typed as it stands; empty: it can."""
    program, *rest = words
    if program == "srun":
        return explain_fault([word for word in words if "=" not in word or "." in word][1:])
    if program == "bash":
        return _explain_script(*rest)
    if program.startswith(".venv/bin/"):
        if not (Path(sys.executable).parent / program.rpartition("/")[2]).exists():
            return f"the requirements bring no {program}"
        if "-m" in rest:
            return _explain_module(*rest[rest.index("-m") + 1 :])
        return ""
    return "" if program in PROGRAMS else f"{program} is not there on plain Debian"


def _explain_script(script: str, *words: str) -> str:
    if not (ROOT / script).is_file():
        return f"there is no {script}"
    if script.startswith("egs/"):
        words = ("--recipe", "/".join(Path(script).parts[1:3]), *words)
    if script.startswith("egs/") or script == "run.sh":
        return _explain_separation("run", *words) or _explain_overrides(*words)
    if script == "tests/run.sh":
        return ""  # pytest's options
    if script == "benchmarks/gpu/lent.sh":  # a folder, and a command that it runs
        program, *rest = words[1:]
        return explain_fault([program.replace("python3", ".venv/bin/python"), *rest])
    text = (ROOT / script).read_text()
    unknown = [word for word in words if word.startswith("-") and f"{word} " not in text]
    return f"{script} has no {', '.join(unknown)}" if unknown else ""


def _explain_overrides(*words: str) -> str:
    """Whether the recipe has the keys of ``--set``."""
    pairs = list(itertools.pairwise(words))
    recipe = dict(pairs).get("--recipe", "mini/ConvTasNet")
    try:
        load_conf(ROOT, recipe, [value for option, value in pairs if option == "--set"])
    except UserError as error:
        return str(error)
    return ""


def _read_shared_options(tree: ast.Module) -> Iterator[str]:
    """The text of the functions ``add_*``, which declare options, that a benchmark imports."""
    for node in ast.walk(tree):
        path = ROOT.joinpath(*str(getattr(node, "module", "")).split(".")).with_suffix(".py")
        if isinstance(node, ast.ImportFrom) and "benchmarks" in path.parts and path.is_file():
            names = {alias.name for alias in node.names if alias.name.startswith("add_")}
            text = path.read_text()
            for own in ast.parse(text).body:
                if isinstance(own, ast.FunctionDef) and own.name in names:
                    yield ast.get_source_segment(text, own) or ""


def _explain_module(module: str, *words: str) -> str:
    if module == "separation":
        return _explain_separation(*words)
    if module == "dask":  # of requirements-cluster.txt, which is not installed everywhere
        return ""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        return f"there is no {module}"
    source = path.read_text()
    source += "".join(_read_shared_options(ast.parse(source)))
    unknown = [word for word in words if word.startswith("--") and f'"{word}"' not in source]
    return f"{module} has no {', '.join(unknown)}" if unknown else ""


def _explain_separation(name: str = "--help", *words: str) -> str:
    if name == "--help":
        return ""
    if name not in COMMANDS:
        return f"there is no command {name}"
    parser = build_parser(name, COMMANDS[name], importlib.import_module(COMMANDS[name].module))
    if words in ((), ("--help",)):  # the text names the command only
        return ""
    try:
        parse_words(parser, ["1" if word in NUMBERS else word for word in words])
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_pasted(page):
    faults = [
        f"{shlex.join(words)}: {why}"
        for words in list_commands(page)
        if (why := explain_fault(words))
    ]
    assert not faults, "\n".join(faults)


def test_the_pages_hold_commands_and_a_wrong_one_is_found():
    assert len(list(list_commands(ROOT / "README.md"))) > 10
    for text, why in (
        ("python -m separation models", "not there"),
        ("bash no.sh", "no no.sh"),
        ("bash run.sh --stages 1", "unknown option --stages"),
        ("bash run.sh --set training.batchsize=2", "training.batch_size"),
        ("bash egs/mini/ConvTasNet/run.sh --set model.n_filter=2", "model.n_filters"),
        (".venv/bin/python -m separation seperate a.wav", "seperate"),
        (".venv/bin/python -m separation separate a.wav --modl m --out o", "--model"),
        (".venv/bin/python -m benchmarks.scoring --speach DIR", "no --speach"),
        (".venv/bin/python -m benchmarks.score", "no benchmarks.score"),
        (".venv/bin/hff upload", "no .venv/bin/hff"),
    ):
        (words,) = split_commands(text)
        assert why in explain_fault(words), text


def test_no_text_of_the_code_names_a_python_that_is_not_there():
    """Messages use ``environment.format_command``, usage texts and docs ``.venv/bin/python``."""
    wrong = re.compile(r"(?<![\w/.-])python3? -m (separation|local|benchmarks)")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*SOURCES, *PAGES]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if wrong.search(line) and path.parent != ROOT / "benchmarks" / "gpu"
    ]
    assert not found, "\n".join(found)


def test_usage_texts_of_the_benchmarks_name_modules_and_options_that_are_there():
    for path in ROOT.glob("benchmarks/**/*.py"):
        text = re.sub(r"\\+\n *", "", path.read_text(encoding="utf-8"))  # one command, two lines
        for line in re.findall(r"^ {4}(\.venv/bin/python -m .*)$", text, re.M):
            (words,) = split_commands(re.sub(r"[\[\]]", "", line))
            assert not explain_fault(words), line


def test_cheap_commands_of_the_pages_run(call):
    commands = {tuple(words) for page in PAGES for words in list_commands(page)}
    cheap = [words for words in sorted(commands) if words[-1] in ("--help", "models")]
    assert len(cheap) >= 3
    for program, *rest in cheap:
        done = call(sys.executable if program == ".venv/bin/python" else program, *rest, timeout=60)
        assert done.returncode == 0, f"{shlex.join([program, *rest])}:\n{done.stdout}"
