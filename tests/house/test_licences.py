"""docs/licences.md names every model and corpus as the code has them, and every pinned package."""

import re

from packaging.requirements import Requirement

from requirements.licences import (
    ALONE,
    FOLLOWED,
    PAGE,
    WHEELS,
    format_corpora,
    format_models,
    normalise,
)
from tests.conftest import ROOT


def read_pins(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if re.match(r"[A-Za-z]", line)]


def test_models_hashes_and_corpora_are_those_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert format_models() in page and format_corpora() in page
    pinned = {str(own) for own in read_pins("requirements-voices.txt")}
    assert {wheel for _, wheel, _, _ in WHEELS} == pinned


def test_every_pinned_package_has_its_licence():
    page = PAGE.read_text(encoding="utf-8")
    for own in (pin for file in (*FOLLOWED, *ALONE) for pin in read_pins(file)):
        (version,) = (part.version for part in own.specifier)
        row = re.search(rf"^\| {normalise(own.name)} \| {version}\S* \| (.+) \|$", page, re.M)
        assert row and row[1] not in ("UNKNOWN", "see its files"), own
