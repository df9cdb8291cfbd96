"""A stage is described once: help, run.sh and the documentation say what the table says."""

import subprocess
import sys

import pytest

from separation.errors import UserError
from separation.stages.table import (
    STAGES,
    format_contracts,
    format_readme_table,
    format_stage_list,
    select_stages,
)
from tests.conftest import ROOT


def test_every_stage_follows_those_it_needs_and_its_work_is_there():
    seen: set[str] = set()
    for number, stage in enumerate(STAGES):
        assert stage.number == number and set(stage.needs) <= seen
        assert callable(stage.load_runner())
        seen.add(stage.name)


def test_documentation_has_the_stage_tables(call):
    assert format_readme_table() in (ROOT / "README.md").read_text(encoding="utf-8")
    assert format_contracts() in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert format_stage_list() in call("bash", "run.sh", "--help").stdout


def test_the_table_needs_nothing_that_is_installed():
    """run.sh asks for it before there is an environment."""
    code = "from separation.stages.table import format_stage_list; print(format_stage_list())"
    bare = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {code}"]
    done = subprocess.run(bare, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{format_stage_list()}\n"


@pytest.mark.parametrize("bounds", [(5, 2), (0, 7), (-1, 3)])
def test_stages_that_are_not_there_are_refused(bounds):
    with pytest.raises(UserError, match="stages run from 0 to 6"):
        select_stages(*bounds)
    assert [stage.name for stage in select_stages(1, 2)] == ["corpus", "metadata"]
