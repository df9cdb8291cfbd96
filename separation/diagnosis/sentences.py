"""Drafts into words: catalogues of sentences in English and Chinese, filled with numbers."""

import math
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from separation.diagnosis.draft import Draft, Gain, PlotDraft, Shown, Values
from separation.diagnosis.finding import Change, Evidence, Finding, Plot, Series, Worth
from separation.diagnosis.measured import read_measured
from separation.environment import format_command
from separation.errors import check_choice

LANGUAGES = ("en", "zh")
Catalogue = dict[str, Any]  # section -> code -> text, or name of a text -> text


@cache
def read_sentences(language: str) -> Catalogue:
    """The catalogue of a language.

    Raises:
        UserError: there is none.
    """
    check_choice("language", language, LANGUAGES)
    path = Path(__file__).with_name(f"sentences_{language}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


class Writer:
    """Puts drafts into the words of a language.

    Args:
        language: ``en`` or ``zh``.
        options: words of a command line that open the experiment, for commands.
    """

    def __init__(self, language: str, options: tuple[str, ...] = ()) -> None:
        self.language, self.options = language, options
        self._texts = read_sentences(language)

    def say(self, section: str, code: str, values: Values | None = None, key: str = "") -> str:
        """A text of the catalogue, filled."""
        text = self._texts[section][code]
        return (text[key] if key else text).format_map(dict(values or {}))

    def write_finding(self, draft: Draft) -> Finding:
        """A draft in words."""
        title, explanation = (
            self.say("findings", draft.code, draft.values, key) for key in ("title", "explanation")
        )
        return Finding(
            code=draft.code,
            kind=draft.kind,
            title=title,
            explanation=explanation,
            evidence=tuple(self.write_evidence(shown) for shown in draft.evidence),
            change=self._write_change(draft),
            worth=self.write_worth(draft.gain),
        )

    def _write_change(self, draft: Draft) -> Change | None:
        if "change" not in self._texts["findings"][draft.code]:
            return None
        options = self.options if draft.opens else ()
        command = format_command(*draft.command, *options) if draft.command else None
        text = self.say("findings", draft.code, draft.values, "change")
        return Change(text=text, keys=draft.keys, command=command)

    def write_evidence(self, shown: Shown) -> Evidence:
        """A piece of evidence in words."""
        label, value = (
            self.say("evidence", shown.code, shown.values, key) for key in ("label", "value")
        )
        plot = None if shown.plot is None else self._write_plot(shown.plot)
        return Evidence(label=label, value=value, plot=plot)

    def _write_plot(self, draft: PlotDraft) -> Plot:
        names = self._texts["series"]
        series = tuple(
            Series(names.get(line.name, line.name), _keep_finite(line.points))
            for line in draft.lines
        )
        title, x_label, y_label = (
            self.say("plots", draft.code, key=key) for key in ("title", "x_label", "y_label")
        )
        return Plot(
            title=title,
            x_label=x_label,
            y_label=y_label,
            series=series,
            kind=draft.kind,
            x_log=draft.x_log,
        )

    def write_worth(self, gain: Gain | None) -> Worth | None:
        """What a change brings: measured on these mixtures, by the ladder, or expected."""
        if gain is None:
            return None
        if gain.ours is not None:
            mean, low, high = gain.ours
            source = self.say("worth", "ours", {"mean": mean, "low": low, "high": high})
            return Worth(low_db=low, high_db=high, source=source, measured=True, mean_db=mean)
        if gain.measured:
            return self._quote(gain.measured)
        source = self.say("worth", "expected")
        return Worth(low_db=gain.low_db, high_db=gain.high_db, source=source, measured=False)

    def _quote(self, name: str) -> Worth:
        own = read_measured()[name]
        values = {
            "change": self.say("changes", name),
            "mean": own.mean_db,
            "low": own.low_db,
            "high": own.high_db,
            "n": own.n_speakers,
            "hours": own.hours,
            "steps": own.steps,
            "rung": own.rung,
            "over": own.over,
        }
        source = self.say("worth", "measured" if own.is_shown else "measured_nothing", values)
        return Worth(
            low_db=own.low_db,
            high_db=own.high_db,
            source=source,
            measured=True,
            mean_db=own.mean_db,
        )


def _keep_finite(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Points that can be drawn, and kept as JSON."""
    return tuple((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
