"""How good, at a glance: a large figure between the mixture's and an oracle's score, a test set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from separation.evaluation.headline import Headline
from separation.reports.charts import draw_mark
from separation.reports.words import Words


@dataclass(frozen=True)
class Ceiling:
    """An oracle's mean.

    Attributes:
        name: as ``IRM``.
        mean: in the unit of the scores.
    """

    name: str
    mean: float


@dataclass(frozen=True, kw_only=True)
class ScoreCard:
    """Models on one test set.

    Attributes:
        title: of the set.
        subtitle: who speaks there.
        scores: by model, the first the largest on the page; improvements over the mixture.
        ceiling: None where no oracle was scored.
        metric: its name.
        unit: of the scores.
        words: of the language.
    """

    title: str
    subtitle: str
    scores: Sequence[tuple[str, Headline]]
    ceiling: Ceiling | None
    metric: str
    words: Words
    unit: str = "dB"

    def to_markdown(self) -> str:
        return "\n".join(f"- {self.title}, {self._describe(*own)}" for own in self.scores)

    def to_html(self) -> str:
        who = f' <span class="soft small">{escape(self.subtitle)}</span>' if self.subtitle else ""
        head = f"<h3>{escape(self.title)}{who}</h3>"
        lines = "".join(self._show(name, own) for name, own in self.scores)
        return f'<article class="card">{head}{lines}</article>'

    def _list_ends(self) -> tuple[float, float]:
        """Ends of the scale, which all models of the set share."""
        values = [0.0, self.ceiling.mean if self.ceiling else 1.0]
        for _, headline in self.scores:
            interval = headline.interval
            values += [own for own in (interval.mean, interval.low, interval.high) if own]
        low, high = min(values), max(values)
        return low, high if high > low else low + 1.0

    def _describe(self, name: str, headline: Headline) -> str:
        """The figure in words, as a screen reader and Markdown have it."""
        mean = headline.interval.mean
        if mean is None:
            return f"{name}: {self.words.say('score.unscored')}"
        ceiling = self.words.say("score.no_ceiling")
        if self.ceiling:
            ceiling = f"{self.ceiling.name} {self.ceiling.mean:.2f}"
        spread = self.words.format_range(headline)
        values = {"mean": f"{mean:.2f}", "ceiling": ceiling, "range": spread}
        return self.words.say("score.gauge", name=name, **values)

    def _show(self, name: str, headline: Headline) -> str:
        interval = headline.interval
        if interval.mean is None:
            return f'<p class="big"><small>{escape(self._describe(name, headline))}</small></p>'
        named = f'<p class="line"><b>{escape(name)}</b></p>' if len(self.scores) > 1 else ""
        figure = (
            f'<p class="big">{interval.mean:.2f} <small>{self.unit} {escape(self.metric)} '
            f'<span class="range">{escape(self.words.format_range(headline))}</span></small></p>'
        )
        return named + figure + self._draw_gauge(name, headline) + self._explain(headline)

    def _explain(self, headline: Headline) -> str:
        sentences = [self.words.describe_drawn(headline, "card")]
        mean, sign = headline.interval.mean, headline.sign
        if headline.interval.low is not None and sign <= 0:
            sentences.insert(0, self.words.say("score.below" if sign < 0 else "score.open"))
        elif mean is not None and mean > 0 and self.ceiling and self.ceiling.mean > 0:
            share = f"{100 * mean / self.ceiling.mean:.0f}"
            sentences.insert(0, self.words.say("score.share", share=share))
        return f'<p class="small">{escape(" ".join(sentences))}</p>'

    def _draw_gauge(self, name: str, headline: Headline) -> str:
        low_end, high_end = self._list_ends()

        def place(value: float) -> float:
            return 100 * (value - low_end) / (high_end - low_end)

        interval, zero = headline.interval, place(0.0)
        assert interval.mean is not None
        marks = '<i class="bed"></i>' + draw_mark("bar", zero, place(interval.mean))
        if interval.low is not None and interval.high is not None:
            marks += draw_mark("span", place(interval.low), place(interval.high))
        marks += draw_mark("floor", zero)
        if self.ceiling:
            marks += draw_mark("ceiling", place(self.ceiling.mean))
        marks += draw_mark("dot", place(interval.mean))
        described = escape(self._describe(name, headline))
        return (
            f'<div class="gauge" role="img" aria-label="{described}">{marks}</div>'
            f'<div class="ends" aria-hidden="true">{self._name_ends(place)}</div>'
        )

    def _name_ends(self, place: Callable[[float], float]) -> str:
        """What stands below a gauge."""
        floor = escape(self.words.say("score.floor"))
        names = f'<span style="left:{min(place(0.0), 55):.1f}%">{floor}</span>'
        if self.ceiling:
            mean = self.ceiling.mean
            label = self.words.say("score.ceiling", oracle=self.ceiling.name, value=f"{mean:.1f}")
            names += (
                f'<span class="top" style="right:{100 - place(mean):.1f}%">{escape(label)}</span>'
            )
        return names
