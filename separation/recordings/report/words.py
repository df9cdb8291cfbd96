"""Words of a recording's page in the language that is asked for."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from separation.errors import check_choice

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Languages:
    """Codes of languages in the values of a finding, which are written as their names."""

    codes: tuple[str, ...]


@cache
def read_sentences(language: str) -> dict[str, Any]:
    """Texts by section and key.

    Raises:
        UserError: there is no such language.
    """
    check_choice("language", language, LANGUAGES)
    path = Path(__file__).with_name(f"sentences_{language}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


class Sentences:
    """Texts of one language, by section and key.

    Args:
        language: ``en`` or ``zh``.
    """

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._texts = read_sentences(language)

    def say(self, section: str, key: str, /, **values: object) -> str:
        """A text, filled.

        >>> Sentences().say("page", "track", k=2)
        'voice 2'
        """
        return self._texts[section][key].format(**values)

    def say_finding(self, code: str, part: str, /, **values: object) -> str:
        """``title``, ``explanation`` or ``change`` of a finding."""
        named = {
            key: self.name_languages(value) if isinstance(value, Languages) else value
            for key, value in values.items()
        }
        return self._texts["findings"][code][part].format(**named)

    def name_languages(self, languages: Languages) -> str:
        """Languages by their names, or codes where a name is not known here.

        >>> Sentences().name_languages(Languages(("en-GB", "xx")))
        'English and xx'
        """
        names = self._texts["languages"]
        return names["and"].join(
            names.get(code.partition("-")[0], code) for code in languages.codes
        )
