"""Every import of the package points down the list of layers, those inside functions too."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the ground up: a layer may import itself and what stands before it.
LAYERS = [
    *(
        "errors",
        "records",
        "files",
        "text",
        "yaml_files",
        "safe_paths",
        "jobs",
        "environment",
        "device",
        "options",
        "cluster",
        "plots",
        "download",
    ),
    *("metrics", "models", "config", "audio", "corpora", "mixtures", "evaluation"),
    *("training", "experiment", "diagnosis", "reports", "stages", "datasets"),
    *(
        "recordings",
        "wav_trees",
        "compare",
        "mixture_checks",
        "publish",
        "export",
        "overfit",
        "ablate",
    ),
    *("experiments", "diagnose"),
    *("api", "demo", "cli", "__main__"),
]
GROUND = LAYERS[: LAYERS.index("config")]
TOOLS = LAYERS[LAYERS.index("recordings") : LAYERS.index("api")]


def list_imports(tree: ast.Module) -> Iterator[str]:
    """Modules of the package that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "separation":
            yield from (f"separation.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def find_upward_imports(package: Path) -> list[str]:
    """``file -> module`` for every import that points up, or from one tool into another."""
    upward = []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).with_suffix("").parts[0]
        if own == "__init__":
            continue
        for module in list_imports(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            if parts[0] == "local":
                upward.append(f"{path.relative_to(package)} -> {module}")
            if parts[0] != "separation" or len(parts) == 1 or parts[1] == own:
                continue
            sideways = own in TOOLS and parts[1] in TOOLS
            if sideways or LAYERS.index(parts[1]) > LAYERS.index(own):
                upward.append(f"{path.relative_to(package)} -> {module}")
    return upward


def test_imports_point_down():
    assert find_upward_imports(ROOT / "separation") == []


def map_modules(package: Path) -> dict[str, list[str]]:
    """Every module of the package -> what it imports: modules of the package."""
    graph = {}
    for path in package.rglob("*.py"):
        name = ".".join(["separation", *path.relative_to(package).with_suffix("").parts])
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = [
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        ]
        graph[name.removesuffix(".__init__")] = [*list_imports(tree), *parts]
    return {name: [m for m in found if m in graph and m != name] for name, found in graph.items()}


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter(map_modules(ROOT / "separation")).prepare()  # CycleError names them


def test_a_planted_cycle_is_named(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "clips.py").write_text("from separation.audio import files\n")
    text = "def read():\n    from separation.audio.clips import Clip\n    return Clip\n"
    (tmp_path / "audio" / "files.py").write_text(text)
    with pytest.raises(graphlib.CycleError, match=r"separation\.audio\.clips"):
        graphlib.TopologicalSorter(map_modules(tmp_path)).prepare()


def test_a_planted_upward_import_is_named(tmp_path):
    (tmp_path / "audio").mkdir()
    text = "def read():\n    from separation.stages.run import run_stage\n    return run_stage\n"
    (tmp_path / "audio" / "files.py").write_text(text, encoding="utf-8")
    assert find_upward_imports(tmp_path) == ["audio/files.py -> separation.stages.run"]


def test_metrics_need_errors_only():
    """So they can be taken out and used by themselves."""
    for path in sorted((ROOT / "separation" / "metrics").glob("*.py")):
        for module in list_imports(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            assert parts[0] != "local", path
            assert parts[0] != "separation" or parts[1] in ("metrics", "errors"), (path, module)


def test_a_corpus_needs_no_more_than_mixture_tables():
    """So a file in local/ can be loaded by any layer from the corpora on."""
    allowed = {*LAYERS[: LAYERS.index("mixtures") + 1]}
    for path in sorted((ROOT / "local").glob("*.py")):
        for module in list_imports(ast.parse(path.read_text(encoding="utf-8"))):
            assert not module.startswith("separation.") or module.split(".")[1] in allowed, path
