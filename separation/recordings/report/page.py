"""The page of a separated recording: what is wrong, every voice to listen to, all that was seen."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from separation.diagnosis.finding import Plot, Series
from separation.recordings.report import thresholds
from separation.recordings.report.assess import Assessment
from separation.recordings.report.dnsmos import Quality
from separation.recordings.report.findings import Note, list_notes
from separation.recordings.report.signals import Separated
from separation.recordings.report.timeline import Lane, Mark, draw_timeline, format_time
from separation.recordings.report.words import Sentences
from separation.recordings.speech_networks import RATE
from separation.reports.charts import plot_lines
from separation.reports.page import Page, Table, format_code, format_page
from separation.reports.players import Signal, show_signals
from separation.reports.words import Words

MARK = "separation separate --report"  # in the page, by which the next call knows it as its own
LONGEST_S = 300.0  # of audio in a page
N_JUMPS = 8
N_FRAMES = 900  # of a spectrogram
FAULT, LIMIT = 4, 5  # colours


def format_report(assessed: Assessment, separated: Separated, language: str) -> str:
    """The whole page, as HTML that refers to nothing outside of itself."""
    words, notes = Sentences(language), list_notes(assessed)
    measured = assessed.record.measured
    name = Path(assessed.record.recording).name
    body = (
        _show_notes(notes, words)
        + _show_player(assessed, separated, notes, words)
        + _show_quality(assessed, words)
        + _show_streams(assessed, words)
        + _show_measured(assessed, words)
    )
    origin = words.say(
        "page",
        "origin",
        duration=format_time(assessed.duration_s),
        rate=measured["sample_rate"],
        channels=measured["n_channels"],
        way=words.say("way", measured["way"]),
    )
    page = Page(
        title=words.say("page", "title", name=name),
        origin=origin,
        window=name,
        body=f"<!-- {MARK} -->{body}",
        more=words.say("page", "more", model=measured["model"]),
        footer=words.say("page", "footer"),
        language=language,
    )
    return format_page(page)


def _show_notes(notes: Sequence[Note], words: Sentences) -> str:
    """What is wrong and what to do."""
    head = f'<h2 id="findings">{escape(words.say("page", "findings"))}</h2>'
    if all(note.kind == "note" for note in notes):
        head += f'<p class="card note finding">{escape(words.say("page", "clean"))}</p>'
    items = "".join(f"<li>{_show_note(note, words)}</li>" for note in notes)
    return f'{head}<ol class="findings">{items}</ol>'


def _show_note(note: Note, words: Sentences) -> str:
    title, explanation, change = (
        words.say_finding(note.code, part, **note.values)
        for part in ("title", "explanation", "change")
    )
    chip = f'<span class="chip {note.kind}">{escape(words.say("kind", note.kind))}</span>'
    cost = note.describe_consequence(words)
    told = (
        f"<p><b>{escape(words.say('page', 'consequence'))}</b> {escape(cost)}</p>" if cost else ""
    )
    return (
        f'<article class="card finding {note.kind}"><div class="head"><h3>{escape(title)}</h3>'
        f'<span class="chips">{chip}</span></div><p>{format_code(explanation)}</p>'
        f"{_show_jumps(note, words)}{told}"
        f"<p><b>{escape(words.say('page', 'what_to_do'))}</b> {format_code(change)}</p></article>"
    )


def _show_jumps(note: Note, words: Sentences) -> str:
    """Buttons that play what a finding is of."""
    if not note.spans:
        return ""
    name = name_signal(note.track, words)
    buttons = "".join(
        f'<button type="button" data-seek="{start:.1f}" data-signal="{note.track}" '
        f'aria-label="{_describe_jump(name, start, words)}">&#9654; '
        f"{format_time(start)} ({stop - start:.1f} s)</button>"
        for start, stop in note.spans[:N_JUMPS]
    )
    n_more = len(note.spans) - N_JUMPS
    more = ""
    if n_more > 0:
        text = escape(words.say("page", "times_more", n=n_more))
        more = f'<span class="soft small">{text}</span>'
    return f'<p class="jumps"><span class="soft small">{escape(name)}</span>{buttons}{more}</p>'


def _describe_jump(name: str, start: float, words: Sentences) -> str:
    return escape(words.say("page", "jump", name=name, second=format_time(start)))


def name_signal(track: int, words: Sentences) -> str:
    """``recording``, or ``voice 1``."""
    return words.say("page", "track", k=track) if track else words.say("page", "recording")


def _show_player(
    assessed: Assessment, separated: Separated, notes: Sequence[Note], words: Sentences
) -> str:
    """Recording and voices, to be heard and seen, above the time line."""
    n_shown = round(min(LONGEST_S, len(separated.recording) / RATE) * RATE)
    signals = [
        Signal(name_signal(number, words), signal[:n_shown])
        for number, signal in enumerate([separated.recording, *separated.tracks])
    ]
    player = show_signals(
        words.say("page", "listen"), signals, RATE, LONGEST_S, Words(words.language), N_FRAMES
    )
    note = ""
    if assessed.duration_s > LONGEST_S:
        values = {"value": format_time(LONGEST_S), "all": format_time(assessed.duration_s)}
        note = f'<p class="small">{escape(words.say("page", "first_part", **values))}</p>'
    shown_s = n_shown / RATE
    described = words.say("page", "timeline")
    line = draw_timeline(list_lanes(assessed, notes, words), shown_s, described)
    return (
        f'<section><div class="stacked card">{player}{note}<h3>{escape(described)}</h3>{line}'
        "</div></section>"
    )


def list_lanes(assessed: Assessment, notes: Sequence[Note], words: Sentences) -> list[Lane]:
    """A lane a voice, one where several speak, and one of what is suspected."""
    lanes = [
        Lane(name=name_signal(k, words), spans=track.spans, number=k - 1)
        for k, track in enumerate(assessed.tracks, 1)
    ]
    lanes.append(Lane(name=words.say("page", "both"), spans=assessed.overlap, number=3))
    marks = tuple(
        Mark(
            span=span,
            signal=note.track,
            label=f"{words.say_finding(note.code, 'title', **note.values)}, {format_time(span[0])}",
            number=FAULT if note.kind == "fault" else LIMIT,
        )
        for note in notes
        for span in note.spans
    )
    if marks:
        lanes.append(Lane(name=words.say("page", "marks"), marks=marks))
    return lanes


def _show_quality(assessed: Assessment, words: Sentences) -> str:
    """DNSMOS of the recording and of each voice."""
    head = [words.say("head", key) for key in ("voice", "what", "before", "after")]
    rows = [
        [name_signal(k, words), words.say("head", scale), before, after]
        for k, track in enumerate(assessed.tracks, 1)
        for scale, before, after in _list_scores(track.before, track.after)
    ]
    if not rows:
        return ""
    blind, explained = (words.say("page", f"quality_{key}") for key in ("blind", "help"))
    return (
        f"<h2>{escape(words.say('page', 'quality'))}</h2><p><b>{escape(blind)}</b></p>"
        f'<p class="small soft">{escape(explained)}</p>{Table(head, rows).to_html()}'
    )


def _list_scores(before: Quality | None, after: Quality | None) -> list[tuple[str, str, str]]:
    if before is None or after is None:
        return []
    return [
        (scale, f"{getattr(before, scale):.2f}", f"{getattr(after, scale):.2f}")
        for scale in ("overall", "speech", "background")
    ]


def _show_streams(assessed: Assessment, words: Sentences) -> str:
    """How each window of a track sounds: like its own voice, or like the other."""
    series = tuple(
        Series(name_signal(k, words), points) for k, points in enumerate(assessed.consistency, 1)
    )
    series = tuple(own for own in series if own.points)
    if not series:
        return ""
    title, x_label, y_label, explained = (
        words.say("page", key) for key in ("streams", "streams_x", "streams_y", "streams_help")
    )
    plot = Plot(title=title, x_label=x_label, y_label=y_label, series=series)
    return (
        f'<h2>{escape(title)}</h2><p class="small soft">{escape(explained)}</p>'
        f'<div class="card plot">{plot_lines(plot)}</div>'
    )


def _show_measured(assessed: Assessment, words: Sentences) -> str:
    """All that was measured, beside the values from which on it is hard."""
    head = [words.say("head", key) for key in ("what", "value", "hard_from")]
    rows = _list_conditions(assessed, words) + _list_levels(assessed, words)
    return (
        f"<h2>{escape(words.say('page', 'measured'))}</h2>"
        f"<div class='short-values'>{Table(head, rows).to_html()}</div>"
    )


def _list_conditions(assessed: Assessment, words: Sentences) -> list[list[str]]:
    own = assessed.conditions
    decay = words.say("rows", "seldom") if own.decay_s is None else f"{own.decay_s:.2f} s"
    none = words.say("rows", "unknown")
    pause_tones = none if own.pause_tones is None else f"{100 * own.pause_tones:.0f} %"
    # short gaps within are closed, so the sum may be a little more than all speech
    overlap_s = min(own.speech_s, sum(stop - start for start, stop in assessed.overlap))
    rows = [
        ("duration", f"{assessed.duration_s:.1f} s", ""),
        ("speech", f"{own.speech_s:.1f} s", ""),
        ("overlap", f"{overlap_s:.1f} s", ""),
        (
            "band",
            f"{own.lowest_hz:.0f} – {own.highest_hz:.0f} Hz",
            f"< {thresholds.NARROW_HZ:.0f} Hz",
        ),
        (f"snr_{own.snr_from}", f"{own.snr_db:.0f} dB", f"< {thresholds.NOISY_DB:g} dB"),
        ("decay", decay, f"> {thresholds.REVERBERANT_S:g} s"),
        (
            "clipped",
            f"{100 * assessed.clipping.share:.3f} %",
            f"> {100 * thresholds.CLIPPED:g} %",
        ),
        ("tones", f"{100 * own.tones:.0f} %", f"> {100 * thresholds.TONES:g} %"),
        ("pause_tones", pause_tones, f"> {100 * thresholds.PAUSE_TONES:g} %"),
        ("gap", f"{assessed.level_gap_db:.1f} dB", f"> {thresholds.UNEQUAL_DB:g} dB"),
    ]
    return [[words.say("rows", key), value, hard] for key, value, hard in rows]


def _list_levels(assessed: Assessment, words: Sentences) -> list[list[str]]:
    unknown, silent = words.say("rows", "unknown"), words.say("rows", "silent")
    n_voices = unknown if assessed.n_voices is None else str(assessed.n_voices)
    rows = [[words.say("rows", "voices"), n_voices, ""]]
    for k, track in enumerate(assessed.tracks, 1):
        level = silent if track.level_db is None else f"{track.level_db:.1f} dB"
        rows.append([words.say("rows", "level", name=name_signal(k, words)), level, ""])
    return rows
