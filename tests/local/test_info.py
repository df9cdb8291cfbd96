"""Every file in local/: its INFO, its functions, its README; and no corpus is known elsewhere."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from separation.config.load import load_conf
from separation.config.recipes import list_recipes
from separation.corpora import plugin
from separation.corpora.plugin import (
    check_conf_names,
    choose_roots,
    list_names,
    list_recordings,
    load,
    read_info,
)
from separation.errors import MissingInputError, UserError
from separation.experiment.open import open_experiment
from tests.conftest import ROOT

SIGNATURES = {
    "list_recordings": ["root"],
    "find_root": ["root"],
    "check_corpus": ["root", "recordings"],
    "download": ["folder", "request"],
    "name_lists": ["train"],
    "list_path": ["root", "n_src", "name"],
    "read_list": ["root", "n_src", "name", "speech"],
    "is_published": ["root", "n_src", "name"],
    "read_lengths": ["root", "names"],
}
LISTS = ("name_lists", "list_path", "read_list", "is_published", "read_lengths")


def test_names_are_those_that_users_know():
    assert list_names("speech") == ["aishell3", "debian_prompts", "librispeech", "speech", "wsj0"]
    assert list_names("noise") == ["noise", "wham"]
    assert list_names("lists") == ["librimix", "wsj0mix"]


@pytest.mark.parametrize("name", list_names())
def test_file_keeps_the_contract(name):
    module, info = load(name), read_info(name)
    assert (ROOT / info.readme).is_file() and info.title
    for function, parameters in SIGNATURES.items():
        if hasattr(module, function):
            read_as = ["reading"] if info.takes_reading and "root" in parameters[:1] else []
            expected = parameters + read_as
            assert list(inspect.signature(getattr(module, function)).parameters) == expected
    if info.kind == "lists":
        assert info.sample_rate and all(hasattr(module, function) for function in LISTS)
    if info.licence:
        assert info.licence.link.startswith("https://") and info.homepage and info.author
        assert info.licence.name in (ROOT / info.readme).read_text(encoding="utf-8")


def test_reading_every_info_is_light():
    """Done-checks and a config's names come this way, in every call of every stage."""
    code = (
        "import sys; from separation.corpora.plugin import list_names; list_names('speech');"
        "print({'torch', 'asteroid', 'requests', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert done.stdout.decode().strip() == "set()"


def test_corpus_names_stand_in_local_only():
    """A name in the package's code would be a second place to change for a corpus."""
    names = set(list_names()) - {"speech", "noise"}  # which users write for their own recordings
    found = set()
    for path in sorted((ROOT / "separation").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in names:
                found.add((path.relative_to(ROOT / "separation").as_posix(), node.value))
    of_rules = ("config/schema.py", "experiment/experiment.py", "stages/data.py")
    allowed = {(path, "librimix") for path in of_rules}  # metadata.rules=librimix
    # by whose rules a row is rendered
    assert found <= allowed | {("mixtures/table.py", name) for name in ("librimix", "wsj0")}


@pytest.mark.parametrize("recipe", list_recipes(ROOT))
def test_recipes_name_corpora_that_are_there(recipe):
    check_conf_names(load_conf(ROOT, recipe, []))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("corpus.source=librispech", "did you mean librispeech? known: aishell3, debian_prompts"),
        ("corpus.source=wham", "no corpus of speech of this name in local/; known: aishell3"),
        ("corpus.noise=wahm", "no corpus of noise of this name in local/; did you mean wham?"),
        ("metadata.lists=wsj0-mix", "did you mean wsj0mix? known: librimix, wsj0mix."),
        ("corpus.source=../speech", "did you mean speech?"),
    ],
)
def test_unknown_name_in_a_config(change, sentence):
    with pytest.raises(UserError) as caught:
        check_conf_names(load_conf(ROOT, "librimix/ConvTasNet", [change]))
    assert str(caught.value).startswith(f"{change}: there is no ")
    assert sentence in str(caught.value)


def test_corpus_that_a_recipe_does_not_read(tmp_path):
    with pytest.raises(UserError) as caught:
        open_experiment("librimix/ConvTasNet", [], corpora=[f"librispech={tmp_path}"])
    sentence = (
        "--corpus librispech=...: did you mean librispeech? this recipe reads dev, librimix, "
    )
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("text", ["", "INFO = 3", "INFO = CorpusInfo(name='other', kind='speech'"])
def test_file_without_a_fitting_info(text, tmp_path, monkeypatch):
    rest = ", title='')" if text.endswith("'") else ""
    lines = ["from separation.corpora.plugin import CorpusInfo", text + rest]
    (tmp_path / "madeup.py").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(plugin, "LOCAL", tmp_path)
    monkeypatch.setattr("local.__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "local.madeup", raising=False)
    with pytest.raises(UserError, match=r"madeup\.py: should have INFO = CorpusInfo\(name='mad"):
        load("madeup")
    del sys.modules["local.madeup"]


def test_corpus_that_only_lists_name_says_so(tmp_path):
    with pytest.raises(UserError, match=r"wsj0: local/wsj0\.py lists no recordings, so mixtures"):
        list_recordings("wsj0", tmp_path)


def test_roots_of_speech_and_noise(tmp_path):
    places = {}
    for name in ("librispeech", "librimix", "noise", "wham", "mine"):
        places[name] = tmp_path / name
        places[name].mkdir()

    def choose(*names: str) -> tuple[Path, Path | None]:
        return choose_roots({name: places[name] for name in names}, "render")

    assert choose("librispeech", "librimix") == (places["librispeech"], None)
    assert choose("wham", "librispeech") == (places["librispeech"], places["wham"])
    assert choose("mine", "noise") == (places["mine"], places["noise"])  # a name of one's own
    for names in ((), ("wham",), ("librispeech", "mine"), ("mine", "noise", "wham")):
        with pytest.raises(UserError, match="render needs one corpus of speech") as caught:
            choose(*names)
        assert str(caught.value).endswith(f"given: {', '.join(sorted(names)) or 'none'}.")
    places["wham"].rmdir()
    with pytest.raises(MissingInputError, match=r"--corpus wham=.*: no such folder"):
        choose("librispeech", "wham")
