"""What limits a model and what to do next, as the first thing of a page; the evidence below."""

from collections.abc import Sequence
from html import escape

from separation.diagnosis.finding import Diagnosis, Finding, Worth
from separation.reports.charts import draw_plot
from separation.reports.page import Table, fold, format_code
from separation.reports.words import Words

N_FIRST = 3  # findings on the first screen


def show_first(diagnosis: Diagnosis, words: Words, n_first: int = N_FIRST) -> str:
    """The first findings, each with its change and a button to its evidence, as HTML."""
    chosen = choose_first(diagnosis, n_first)
    head = f'<h2 id="findings">{escape(words.say("findings"))}</h2>'
    if diagnosis.healthy:
        head += f'<p class="card note finding">{escape(words.say("findings.healthy"))}</p>'
    items = "".join(f"<li>{_show_finding(own, words)}</li>" for own in chosen)
    n_more = len(diagnosis.findings) - len(chosen)
    more = ""
    if n_more:
        more = f'<p><a href="#evidence">{escape(words.say("findings.more", n=n_more))}</a></p>'
    return f'{head}<ol class="findings">{items}</ol>{more}'


def choose_first(diagnosis: Diagnosis, n_first: int = N_FIRST) -> Sequence[Finding]:
    """The first ones: faults, then limits, then notes."""
    return diagnosis.findings[:n_first]


def _show_finding(finding: Finding, words: Words) -> str:
    kind = escape(words.say(f"finding.{finding.kind}"))
    chips = f'<span class="chip {finding.kind}">{kind}</span>'
    if finding.worth is not None:
        text = escape(describe_worth(finding.worth, words))
        chips += f'<span class="chip worth">{text}</span>'
    title = escape(finding.title)
    change = _show_change(finding)
    evidence, button = name_evidence(finding), escape(words.say("finding.evidence"))
    described = escape(words.say("finding.evidence_of", title=finding.title))
    return (
        f'<article class="card finding {finding.kind}"><div class="head"><h3>{title}</h3>'
        f'<span class="chips">{chips}</span></div><div class="row">{change}<a class="button" '
        f'href="#{evidence}" data-opens="{evidence}" aria-label="{described}">{button}</a></div>'
        "</article>"
    )


def _show_change(finding: Finding) -> str:
    change = finding.change
    if change is None:
        return f'<div class="change"><p>{format_code(finding.explanation)}</p></div>'
    codes = " ".join(f"<code>{escape(key)}={escape(value)}</code>" for key, value in change.keys)
    keys = f'<p class="keys">{codes}</p>' if codes else ""
    return f'<div class="change"><p>{format_code(change.text)}</p>{keys}</div>'


def describe_worth(worth: Worth, words: Words) -> str:
    """``measured +1.2 to +3.0 dB``, or that it is expected and not measured."""
    if worth.low_db is None or worth.high_db is None:
        return words.say("worth.unknown")
    low, high = f"{worth.low_db:+.1f}", f"{worth.high_db:+.1f}"
    spread = low if low == high else f"{low} … {high}"
    return words.say("worth.measured" if worth.measured else "worth.expected", range=spread)


def name_evidence(finding: Finding) -> str:
    """The anchor of a finding's evidence."""
    return f"evidence-{finding.code}"


def show_evidence(diagnosis: Diagnosis, words: Words) -> str:
    """Every finding with its evidence, folded, and all that was looked at, as HTML."""
    heading = escape(words.say("finding.evidence"))
    findings = "".join(_show_whole(own, words) for own in diagnosis.findings)
    head = [words.say("what"), words.say("value")]
    facts = Table(head, [[own.label, own.value] for own in diagnosis.facts])
    all_facts = fold(words.say("finding.all"), facts.to_html()) if diagnosis.facts else ""
    return f'<h2 id="evidence">{heading}</h2>{findings}{all_facts}'


def _show_whole(finding: Finding, words: Words) -> str:
    head = [words.say("what"), words.say("value")]
    table = Table(head, [[own.label, own.value] for own in finding.evidence])
    plots = "".join(draw_plot(own.plot) for own in finding.evidence if own.plot is not None)
    body = f"<p>{format_code(finding.explanation)}</p>"
    body += table.to_html() if finding.evidence else ""
    body += f'<div class="plots">{plots}</div>' if plots else ""
    if finding.change is not None:
        body += _show_change(finding)
        body += f"<pre>{escape(finding.change.command)}</pre>" if finding.change.command else ""
    if finding.worth is not None:
        worth = f"{describe_worth(finding.worth, words)}: {finding.worth.source}"
        body += f'<p class="soft">{escape(worth)}</p>'
    return (
        f'<details class="card" id="{name_evidence(finding)}"><summary>{escape(finding.title)}'
        f"</summary>{body}</details>"
    )
