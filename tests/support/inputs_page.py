"""docs/inputs.md quotes what is printed: the sentences there, as patterns."""

import re

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "inputs.md"
PLACEHOLDERS = {r"\bN\b": r"[0-9.]+", r"\b(DIR|PATH|NAME|KEY)\b": ".+", r"\\\.\\\.\\\.": ".*"}


def list_sentences() -> list[str]:
    """What stands in backticks on the page and is longer than a command or a key."""
    text = PAGE.read_text(encoding="utf-8")
    return [" ".join(quoted.split()) for quoted in re.findall(r"`([^`]+)`", text) if " " in quoted]


def is_documented(message: str) -> bool:
    """Whether the page quotes this message; N, DIR, PATH, NAME and ... stand for anything."""
    flat = " ".join(message.split())
    return any(re.search(_make_pattern(sentence), flat) for sentence in list_sentences())


def _make_pattern(sentence: str) -> str:
    pattern = re.escape(sentence).replace(r"\ ", " ")
    for placeholder, expression in PLACEHOLDERS.items():
        pattern = re.sub(placeholder, lambda _, e=expression: e, pattern)
    return pattern
