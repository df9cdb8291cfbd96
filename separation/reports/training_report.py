"""Report of an experiment: RESULTS.md and one self-contained report.html."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import yaml

from separation.config.schema import ORACLES
from separation.diagnosis.diagnose import diagnose_experiment
from separation.diagnosis.finding import Diagnosis, Plot, Series
from separation.environment import format_run
from separation.evaluation.breakdown import measure_breakdown, rank_worst
from separation.evaluation.estimators import make_model_estimator
from separation.evaluation.headline import Headline
from separation.evaluation.intervals import pick_values
from separation.evaluation.score_rows import ScoreRow, read_scores
from separation.evaluation.summary import Headlines, Summary
from separation.experiment.experiment import Experiment
from separation.experiment.folder import RunRecord
from separation.experiment.mixtures import open_split
from separation.files import write_text
from separation.mixtures.signals import Mixture
from separation.models.checkpoint.load import load_model
from separation.models.inference import match_level
from separation.reports.breakdown import show_breakdowns
from separation.reports.cards import Ceiling, ScoreCard
from separation.reports.charts import choose_edges, plot_histogram, plot_lines
from separation.reports.findings import show_evidence, show_first
from separation.reports.headlines import read_headlines
from separation.reports.page import Block, Page, Part, blocks_to_html, fold, format_page
from separation.reports.players import RANGE_DB, choose_length, list_signals, show_signals
from separation.reports.results import (
    describe_gap,
    describe_problems,
    format_results,
    make_score_table,
)
from separation.reports.sanity import list_sanity_notes
from separation.reports.words import Words

METRIC = "si_sdri"
N_WORST = 5
EXAMPLES = ("worst", "median", "best")


def write_report(experiment: Experiment) -> list[Path]:
    """Write ``RESULTS.md`` and ``report.html`` into the experiment folder.

    Returns:
        the two paths.
    """
    folder = experiment.folder
    summary, run = folder.read_summary(), folder.read_run()
    assert summary is not None and run is not None, f"{folder.path} is not evaluated"
    write_text(folder.results, format_results(experiment, summary, run))
    diagnosis = diagnose_experiment(experiment, language=experiment.conf.report.language)
    report = TrainingReport(experiment=experiment, summary=summary, run=run, diagnosis=diagnosis)
    write_text(folder.report, report.format())
    return [folder.results, folder.report]


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The page of one experiment.

    Attributes:
        experiment: trained and scored.
        summary: its scores.
        run: what produced it.
        diagnosis: what limits it; None where that was not asked.
    """

    experiment: Experiment
    summary: Summary
    run: RunRecord
    diagnosis: Diagnosis | None = None

    @cached_property
    def words(self) -> Words:
        return Words(self.experiment.conf.report.language)

    @cached_property
    def headlines(self) -> Headlines:
        return read_headlines(self.experiment.folder, self.summary)

    @cached_property
    def rows(self) -> dict[str, list[ScoreRow]]:
        """The model's rows of the sets in which it has scores."""
        folder, splits = self.experiment.folder, self.experiment.test_splits
        paths = {split: folder.scores(split, "model") for split in splits}
        rows = {split: read_scores(path) for split, path in paths.items() if path.is_file()}
        return {split: own for split, own in rows.items() if pick_values(own, METRIC)}

    def format(self) -> str:
        """The whole page."""
        experiment, words = self.experiment, self.words
        title, tag = experiment.conf.report.title, experiment.folder.tag
        origin = words.say("origin", recipe=self.run["recipe"], tag=tag)
        sections = [
            self.show_first_screen(),
            self.show_training(),
            self.show_mixtures(),
            self.show_examples(),
            self.show_evidence(),
            self.show_tables(),
            self.show_provenance(),
        ]
        page = Page(
            title=title,
            origin=origin,
            more=self._describe_length(),
            window=f"{title} · {self.run['recipe']} · {tag}",
            body="\n".join(sections),
            footer=words.say("footer"),
            language=words.language,
        )
        return format_page(page)

    def _describe_length(self) -> str:
        """On which device, for how long it was trained."""
        curve = self.experiment.folder.read_curves()[-1]
        minutes = f"{float(curve['elapsed_s']) / 60:.0f}"
        values = {"device": self.run["device"], "steps": curve["step"], "minutes": minutes}
        return self.words.say("origin.more", **values)

    def show_first_screen(self) -> str:
        """How good on whom, what limits it, what to do next."""
        cards = "".join(card.to_html() for card in self.list_cards())
        gap = f"<p>{escape(describe_gap(self.summary, self.words))}</p>"
        title = escape(self.words.say("score"))
        left = f'<section><h2>{title}</h2><div class="cards">{cards}</div></section>'
        return f'<div class="first">{left}<section>{self._show_next()}</section></div>{gap}'

    def _show_next(self) -> str:
        if self.diagnosis is not None:
            return show_first(self.diagnosis, self.words)
        notes = list_sanity_notes(self.experiment, self.summary)
        head = Block("h2", self.words.say("findings"))
        return blocks_to_html([head, Block("list", notes)])

    def list_cards(self) -> Iterator[ScoreCard]:
        """A card a test set, the set of strangers first."""
        for split in reversed(self.experiment.test_splits):
            headline = self.headlines.get((split, "model"), {}).get(METRIC)
            if headline is not None:
                yield self._make_card(split, headline)

    def _make_card(self, split: str, headline: Headline) -> ScoreCard:
        means = {name: self.summary.find_mean(split, name, METRIC) for name in ORACLES}
        known = {name: own.mean for name, own in means.items() if own and own.mean is not None}
        best = max(known, key=lambda name: known[name], default=None)
        return ScoreCard(
            title=split,
            subtitle=self.words.say(f"set.{split}"),
            scores=[(self.experiment.conf.model.name, headline)],
            ceiling=Ceiling(best.upper(), known[best]) if best else None,
            metric="SI-SDRi",
            words=self.words,
        )

    def show_training(self) -> str:
        """The curves of training and dev, and the learning rate."""
        words, curves = self.words, self.experiment.folder.read_curves()
        ratio = self.experiment.conf.training.loss.upper().replace("_", "-")
        mixed = "dynamic" if self.experiment.mixes_dynamically else "fixed"
        names = {"train_loss": words.say(f"training.train_{mixed}")}
        names["dev_loss"] = words.say("training.dev")
        series = tuple(_make_series(curves, column, name) for column, name in names.items())
        minutes = words.say("training.minutes")
        label = words.say("training.ratio", ratio=ratio)
        train, dev = (f"{own.points[-1][1]:.2f}" for own in series)
        best = f"{max(y for _, y in series[1].points):.2f}"
        described = words.say("training.curves", ratio=ratio, train=train, dev=dev, best=best)
        losses = Plot(title="", x_label=minutes, y_label="", series=series)
        rate = words.say("training.lr")
        steps = tuple((float(row["elapsed_s"]) / 60, float(row["lr"])) for row in curves)
        rates = Plot(title="", x_label=minutes, y_label="", series=(Series(rate, steps),))
        plots = [
            f'<div class="plot card"><h3>{escape(label)}</h3>{plot_lines(losses, described)}</div>',
            f'<div class="plot card"><h3>{escape(rate)}</h3>{plot_lines(rates, rate)}</div>',
        ]
        return f'<h2>{escape(words.say("training"))}</h2><div class="plots">{"".join(plots)}</div>'

    def show_mixtures(self) -> str:
        """Histograms and break-downs."""
        if not self.rows:
            return ""
        words = self.words
        gains = {split: [*pick_values(rows, METRIC).values()] for split, rows in self.rows.items()}
        edges = choose_edges([value for own in gains.values() for value in own])
        histograms = "".join(
            self._show_histogram(split, own, edges, number)
            for number, (split, own) in enumerate(gains.items())
        )
        breakdowns = {split: measure_breakdown(rows, METRIC) for split, rows in self.rows.items()}
        parts = [
            Block("h2", words.say("where")),
            Block("text", words.say("where.note")),
            *show_breakdowns(breakdowns, words),
            Block("list", [self._list_worst(split) for split in self.rows]),
        ]
        title = escape(words.say("mixtures"))
        return f'<h2>{title}</h2><div class="plots">{histograms}</div>{blocks_to_html(parts)}'

    def _show_histogram(
        self, split: str, gains: list[float], edges: list[float], number: int
    ) -> str:
        words, mean = self.words, f"{sum(gains) / len(gains):.2f}"
        below = f"{100 * sum(gain < 0 for gain in gains) / len(gains):.0f}"
        caption = words.say("mixtures.caption", split=split, mean=mean, below=below)
        described = words.say("mixtures.histogram", split=split, n=len(gains), mean=mean)
        labels = ("SI-SDRi (dB)", words.say("mixtures.count"), described)
        chart = plot_histogram(gains, edges, number, labels)
        return f'<div class="plot card"><h3>{escape(caption)}</h3>{chart}</div>'

    def _list_worst(self, split: str) -> str:
        worst = rank_worst(self.rows[split], METRIC, N_WORST)
        listed = ", ".join(f"{row.mixture_id} {row.values[METRIC]:.2f}" for row in worst)
        return self.words.say("worst", split=split, listed=listed)

    def show_examples(self) -> str:
        """Worst, median and best mixture of every set, to see and hear."""
        if not self.rows:
            return ""
        import torch

        model = load_model(self.experiment.folder.checkpoint)
        separate = make_model_estimator(model, torch.device("cpu"))
        rate = self.experiment.conf.audio.sample_rate
        n_signals = len(self.rows) * len(EXAMPLES) * (1 + 2 * self.experiment.conf.mixtures.n_src)
        longest_s = choose_length(n_signals, rate)
        players = []
        for split, rows in self.rows.items():
            mixtures = open_split(self.experiment, split)
            places = {row.mixture_id: place for place, row in enumerate(mixtures.rows)}
            for name, score in choose_examples(rows).items():
                mixture = mixtures[places[score.mixture_id]]
                ordered = separate(mixture)[list(score.permutation)]
                leveled = match_level(mixture.mixture, ordered)
                signals = list_signals(mixture, leveled, self.words)
                title = self._name_example(split, name, score, mixture)
                players.append(show_signals(title, signals, rate, longest_s, self.words))
        words = self.words
        note = words.say("examples.note", range=RANGE_DB, khz=f"{rate / 2000:g}")
        head: list[Part] = [Block("h2", words.say("examples")), Block("text", note)]
        return blocks_to_html(head) + "".join(players)

    def _name_example(self, split: str, name: str, score: ScoreRow, mixture: Mixture) -> str:
        which = self.words.say(f"examples.{name}")
        gain = f"{score.values['si_sdri']:.2f}"
        heading = self.words.say("examples.heading", split=split, which=which, gain=gain)
        return f"{heading} · {score.mixture_id} · {name_voices(mixture)}"

    def show_evidence(self) -> str:
        """All findings with their evidence, and what else speaks for or against the scores."""
        shown = show_evidence(self.diagnosis, self.words) if self.diagnosis else ""
        notes = list_sanity_notes(self.experiment, self.summary) if self.diagnosis else []
        notes += describe_problems(self.summary, self.words)
        return shown + (blocks_to_html([Block("list", notes)]) if notes else "")

    def show_tables(self) -> str:
        """Every score, the model's marked."""
        parts: list[Part] = [
            Block("h2", self.words.say("tables")),
            Block("text", self.words.say("tables.note")),
            make_score_table(self.summary, self.headlines, self.words),
        ]
        return blocks_to_html(parts)

    def show_provenance(self) -> str:
        """The command, run.json and conf.yml, folded."""
        words, experiment = self.words, self.experiment
        command = format_run(*experiment.list_options())
        again = f"<p>{escape(words.say('command.again'))}</p><pre>{escape(command)}</pre>"
        texts: Mapping[str, str] = {
            "provenance.run": yaml.safe_dump(self.run),
            "provenance.conf": yaml.safe_dump(experiment.conf.as_dict(), sort_keys=False),
        }
        folded = "".join(
            fold(words.say(key), f"<pre>{escape(text)}</pre>") for key, text in texts.items()
        )
        return f"<h2>{escape(words.say('provenance'))}</h2>{again}{folded}"


def _make_series(curves: list[dict[str, str]], column: str, name: str) -> Series:
    """The ratio, which a loss is the negative of, over minutes."""
    points = ((float(row["elapsed_s"]) / 60, -float(row[column])) for row in curves)
    return Series(name, tuple(points))


def choose_examples(rows: list[ScoreRow]) -> dict[str, ScoreRow]:
    """The worst, median and best mixture."""
    ranked = rank_worst(rows, METRIC, len(rows))
    return dict(zip(EXAMPLES, (ranked[0], ranked[len(ranked) // 2], ranked[-1]), strict=True))


def name_voices(mixture: Mixture) -> str:
    """The speakers of a mixture."""
    return " + ".join(source.speaker or "?" for source in mixture.row.sources)
