"""Break-downs of several models or test sets side by side: plots on a page, a table in Markdown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from separation.evaluation.breakdown import BINS, Breakdown, list_groups
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.summary import format_interval
from separation.reports.charts import draw_legend, draw_whisker
from separation.reports.page import Block, Part, Table
from separation.reports.words import Words

N_SPEAKERS = 5  # of the lowest means, in Markdown
N_PLOTTED = 8  # of the lowest means, on a page
OFTEN = 3  # mixtures, for a speaker to be called bad
FEW = 10  # below it an interval is too narrow to be shown: see separation.evaluation.intervals
Means = Mapping[str, MeanInterval]
Ends = tuple[float, float]  # of an axis


@dataclass(frozen=True)
class BreakdownPlots:
    """Means of every kind of group, a line a group and name.

    Attributes:
        breakdowns: by model or test set.
        words: of the language.
    """

    breakdowns: Mapping[str, Breakdown]
    words: Words

    def to_markdown(self) -> str:
        """A table of groups with a column a name."""
        names = list_groups()
        rows = [
            [kind, group, *(_format_group(own.get(group)) for own in means.values())]
            for kind, means in self._list_kinds()
            if kind in names
            for group in names[kind]
            if any(group in own for own in means.values())
        ]
        return Table(["by", "group", *self.breakdowns], rows).to_markdown()

    def to_html(self) -> str:
        """A card a kind of group, all on one scale."""
        legend = draw_legend([*self.breakdowns]) if len(self.breakdowns) > 1 else ""
        ends = self._list_ends()
        cards = "".join(self._show_kind(kind, means, ends) for kind, means in self._list_kinds())
        return f'{legend}<div class="cards">{cards}</div>'

    def _list_kinds(self) -> Iterator[tuple[str, dict[str, Means]]]:
        """Every kind of group, with means by name."""
        for kind in [*list_groups(), "speaker"]:
            means: dict[str, Means] = {
                name: own.groups[kind] for name, own in self.breakdowns.items()
            }
            if kind == "speaker":
                means = {name: choose_speakers(own) for name, own in means.items()}
            if any(means.values()):
                yield kind, means

    def _show_kind(self, kind: str, means: dict[str, Means], ends: Ends) -> str:
        order = list_groups().get(kind) or dict.fromkeys(g for own in means.values() for g in own)
        lines = "".join(self._show_group(kind, group, means, ends) for group in order)
        title = escape(self.words.say(f"by.{kind}"))
        table = f'<table class="groups"><tbody>{lines}</tbody></table>'
        return f'<section class="card"><h3>{title}</h3>{table}</section>'

    def _show_group(self, kind: str, group: str, means: dict[str, Means], ends: Ends) -> str:
        """A line a name; the group's own name stands once."""
        shown = [(number, own[group]) for number, own in enumerate(means.values()) if group in own]
        label = escape(self._name_group(kind, group))
        head = f'<th scope="rowgroup" rowspan="{len(shown)}">{label}</th>'
        lines = [self._show_line(number, mean, ends) for number, mean in shown]
        return "".join(
            f"<tr>{'' if place else head}{line}</tr>" for place, line in enumerate(lines)
        )

    def _show_line(self, number: int, mean: MeanInterval, ends: Ends) -> str:
        assert mean.mean is not None
        low, high = (None, None) if mean.n < FEW else (mean.low, mean.high)
        mark = draw_whisker(low, mean.mean, high, ends, number)
        name = [*self.breakdowns][number] if len(self.breakdowns) > 1 else ""
        hidden = f'<span class="hidden">{escape(name)} </span>' if name else ""
        spread = "" if low is None else f'title="95 %: {low:.2f} … {high:.2f}"'
        count = escape(self.words.say("of_n", n=mean.n))
        return (
            f'<td class="plotted" {spread}>{mark}</td><td>{hidden}{mean.mean:.2f}</td>'
            f'<td class="soft small">{count}</td>'
        )

    def _list_ends(self) -> Ends:
        """Ends of the scale: zero and all means and intervals."""
        values = [0.0]
        for _, means in self._list_kinds():
            for mean in [mean for own in means.values() for mean in own.values()]:
                bounds = () if mean.n < FEW else (mean.low, mean.high)
                values += [value for value in (mean.mean, *bounds) if value is not None]
        low, high = min(values), max(values)
        gap = 0.04 * (high - low) or 0.5
        return low - gap, high + gap

    def _name_group(self, kind: str, group: str) -> str:
        """The group in the language of the page."""
        if kind not in BINS:
            return self.words.say(f"group.{group}") if kind == "sex pair" else group
        bins, place = BINS[kind], BINS[kind].names().index(group)
        edges = [f"{edge * bins.factor:g}" for edge in bins.edges]
        if place == 0:
            return self.words.say("group.below", high=edges[0], unit=bins.unit)
        if place == len(edges):
            return self.words.say("group.from", low=edges[-1], unit=bins.unit)
        low, high = edges[place - 1 : place + 1]
        return self.words.say("group.between", low=low, high=high, unit=bins.unit)


def choose_speakers(speakers: Means, n_most: int = N_PLOTTED) -> Means:
    """Those of the lowest means; nobody where there is only one."""
    if len(speakers) < 2:
        return {}
    return dict([*_choose_often(speakers).items()][:n_most])


def _choose_often(speakers: Means) -> Means:
    """The speakers in several mixtures; all where nobody is."""
    return {name: own for name, own in speakers.items() if own.n >= OFTEN} or speakers


@dataclass(frozen=True)
class SpeakerLines:
    """The speakers of the lowest means in sentences; a page has them as a plot."""

    sentences: list[str]

    def to_markdown(self) -> str:
        return Block("list", self.sentences).to_markdown()

    def to_html(self) -> str:
        return ""


def show_breakdowns(breakdowns: Mapping[str, Breakdown], words: Words | None = None) -> list[Part]:
    """Means by what a mixture is like, the speakers with the lowest, correlations."""
    words = words or Words()
    speakers = [_describe_speakers(name, own, words) for name, own in breakdowns.items()]
    speakers = [sentence for sentence in speakers if sentence]
    correlations = [_describe_correlation(name, own, words) for name, own in breakdowns.items()]
    correlations = [sentence for sentence in correlations if sentence]
    parts: list[Part] = []
    if any(any(own.groups.values()) for own in breakdowns.values()):
        parts.append(BreakdownPlots(breakdowns, words))
    if speakers:
        parts.append(SpeakerLines(speakers))
    if correlations:
        parts.append(Block("list", correlations))
    return parts


def _format_group(mean: MeanInterval | None) -> str:
    """``5.65 [5.39, 5.92] of 30``, without the interval where mixtures are few."""
    if mean is None:
        return "–"
    text = f"{mean.mean:.2f}" if mean.n < FEW else format_interval(mean)
    return f"{text} of {mean.n}"


def _describe_speakers(name: str, breakdown: Breakdown, words: Words) -> str:
    speakers = breakdown.groups["speaker"]
    if len(speakers) < 2:
        return ""
    often = _choose_often(speakers)
    listed = ", ".join(
        f"{speaker} {own.mean:.2f} (of {own.n})" for speaker, own in [*often.items()][:N_SPEAKERS]
    )
    key = "speakers.lowest_often" if len(often) < len(speakers) else "speakers.lowest"
    return words.say(key, name=name, n=len(often), often=OFTEN, listed=listed)


def _describe_correlation(name: str, breakdown: Breakdown, words: Words) -> str:
    correlation = breakdown.input_correlation
    if correlation is None:
        return ""
    return words.say("correlation", name=name, value=f"{correlation:.2f}")
