"""Checks of the data: who and how much is heard, mixed anew or not, band, references, faults."""

from statistics import median

from separation.diagnosis.draft import Draft, Gain, Line, PlotDraft, Shown
from separation.diagnosis.figures import (
    BandFigures,
    DataFigures,
    SumFigures,
    TestFigures,
    TrainingFigures,
    ValidationFigures,
)
from separation.diagnosis.published import PAPER_SEGMENT_S, TRAINING_SETS

FEW_SPEAKERS = 50  # of the published sets the smallest has 101
LITTLE_H = 10.0  # of speech
FEW_MIXTURES = 10000  # fixed; half of the smallest published list
GAP_DB = 2.0  # training above dev, from which data is what is lacking
SEEN_DB = 2.0  # speakers heard in training above others
WHOLE_BAND = 0.75  # of half the rate, up to which recordings should have something
USUAL_HZ = (8000, 11025, 16000, 22050, 32000)
SKIRT = 1.12  # of half a rate, up to which a converter's filter lets something through
NARROW_SHARE = 0.2  # of the recordings
ALIKE = 0.9  # correlation of a mixture with the sum of its references, without noise
ALIKE_NOISY = 0.3
FLOOR_MARGIN_DB = 10.0  # below what mixtures have, from which references belong to others
CEILING_DB = {False: 0.0, True: -4.0}  # mean SI-SDR of a mixture of two, clean and noisy


def check_little_data(
    data: DataFigures, training: TrainingFigures | None, tests: list[TestFigures]
) -> Draft | None:
    """Few speakers, or little speech where training has left dev behind."""
    gap = training.gap_db if training else None
    few = data.speakers is not None and data.speakers < FEW_SPEAKERS
    little = data.speech_h is not None and data.speech_h < LITTLE_H
    lags = gap is None or gap >= GAP_DB
    if data.origin == "published" or not (few or (little and lags)):
        return None
    gains = _find_seen_and_unseen(tests)
    evidence = [Shown(code="speakers", values={"n": data.speakers or 0}, plot=_plot_speakers(data))]
    evidence += show_speech(data)
    if training and gap is not None and gap >= GAP_DB:
        evidence.append(show_gap(training, gap))
    if gains:
        evidence.append(Shown(code="seen_unseen", values={"seen": gains[0], "unseen": gains[1]}))
    return Draft(
        code="little_data" if few else "little_speech",
        kind="limit",
        values={"speakers": data.speakers or 0, "hours": data.speech_h or 0.0},
        evidence=tuple(evidence),
        keys=_list_keys_of_more(data),
        gain=Gain(measured="speakers") if few else Gain(0.5, 1.5),
    )


def show_speech(data: DataFigures) -> list[Shown]:
    """What training speakers say, as far as it is known."""
    if data.speech_h is not None:
        values = {"hours": data.speech_h, "n": data.utterances or 0}
        return [Shown(code="speech", values=values)]
    if data.utterances is not None:
        return [Shown(code="utterances", values={"n": data.utterances})]
    return []


def _plot_speakers(data: DataFigures) -> PlotDraft:
    names = [("ours", data.speakers or 0), *((own.name, own.speakers) for own in TRAINING_SETS)]
    bars = tuple(Line(name, ((float(place), float(n)),)) for place, (name, n) in enumerate(names))
    return PlotDraft(code="speakers", lines=bars, kind="bars")


def _list_keys_of_more(data: DataFigures) -> tuple[tuple[str, str], ...]:
    """What undoes a limit that a recipe itself sets."""
    if data.mix == "aishell3mix":
        return (("splits.n_train_speakers", "0"), ("splits.n_train_utterances", "0"))
    return ()


def show_gap(training: TrainingFigures, gap_db: float) -> Shown:
    """Training and dev at the end, with their curves."""
    last = training.last
    values = {"train": last.train_db, "dev": last.dev_db, "gap": gap_db}
    return Shown(code="gap", values=values, plot=plot_curves(training))


def plot_curves(training: TrainingFigures) -> PlotDraft:
    """Training and dev against steps."""
    lines = (
        Line("training", tuple((float(own.step), own.train_db) for own in training.epochs)),
        Line("dev", tuple((float(own.step), own.dev_db) for own in training.epochs)),
    )
    return PlotDraft(code="curves", lines=lines)


def _find_seen_and_unseen(tests: list[TestFigures]) -> tuple[float, float] | None:
    means = {own.name: own.gain.mean for own in tests}
    seen, unseen = means.get("test_seen"), means.get("test_unseen")
    return None if seen is None or unseen is None else (seen, unseen)


def check_unseen_speakers(tests: list[TestFigures]) -> Draft | None:
    """Speakers of training scored far above others, though many train."""
    gains = _find_seen_and_unseen(tests)
    if gains is None or gains[0] - gains[1] < SEEN_DB:
        return None
    values = {"seen": gains[0], "unseen": gains[1], "loss": gains[0] - gains[1]}
    return Draft(
        code="unseen_speakers",
        kind="limit",
        values=values,
        evidence=(Shown(code="seen_unseen", values=values),),
        gain=Gain(measured="speakers"),
    )


def check_fixed_mixing(data: DataFigures, training: TrainingFigures | None) -> Draft | None:
    """The same few mixtures, epoch after epoch; nothing where dev keeps up with training."""
    gap = training.gap_db if training else None
    if data.dynamic or data.listed is None or data.listed >= FEW_MIXTURES:
        return None
    if gap is not None and gap < GAP_DB:
        return None
    evidence = [show_distinct(data)]
    if data.repeats is not None and data.repeats > 1:
        evidence.append(Shown(code="repeats", values={"times": data.repeats}))
    exists = data.origin == "existing"
    return Draft(
        code="fixed_existing" if exists else "fixed_mixing",
        kind="limit",
        values={"mixtures": data.listed},
        evidence=tuple(evidence),
        keys=() if exists else (("training.dynamic_mixing", "true"),),
        gain=Gain(measured="dynamic_mixing"),
    )


def show_distinct(data: DataFigures) -> Shown:
    """The fixed list beside the published ones."""
    names = [("ours", data.listed), *((own.name, own.mixtures) for own in TRAINING_SETS)]
    bars = tuple(
        Line(name, ((float(place), float(n)),)) for place, (name, n) in enumerate(names) if n
    )
    plot = PlotDraft(code="mixtures", lines=bars, kind="bars")
    values = {"n": data.listed or 0, "hours": data.listed_h or 0.0}
    return Shown(code="listed" if data.listed_h else "listed_number", values=values, plot=plot)


def check_segment(data: DataFigures, field_s: float | None) -> Draft | None:
    """Segments shorter than the paper's: measured, and worth nothing; a note."""
    if data.segment_s >= PAPER_SEGMENT_S:
        return None
    evidence = [Shown(code="segment", values={"seconds": data.segment_s})]
    if field_s is not None:
        evidence.append(Shown(code="field_seconds", values={"seconds": field_s}))
    return Draft(
        code="segment",
        kind="note",
        values={"seconds": data.segment_s},
        evidence=tuple(evidence),
        gain=Gain(measured="segment"),
    )


def check_band(band: BandFigures | None) -> Draft | None:
    """Recordings that end well below half the recipe's rate: made at a lower one, and converted."""
    if band is None or not band.edges_hz:
        return None
    top = band.sample_rate / 2
    narrow = [edge for edge in band.edges_hz if edge < WHOLE_BAND * top]
    share = len(narrow) / len(band.edges_hz)
    if share < NARROW_SHARE:
        return None
    edge = median(narrow)
    rate = next((own for own in USUAL_HZ if edge <= SKIRT * own / 2), band.sample_rate)
    plot = PlotDraft(code="band", lines=(Line("training", band.levels_db),))
    values = {
        "edge_khz": edge / 1000,
        "top_khz": top / 1000,
        "rate_khz": band.sample_rate / 1000,
        "share": 100 * share,
        "n": len(band.edges_hz),
        "true_khz": rate / 1000,
    }
    return Draft(
        code="band",
        kind="fault",
        values=values,
        evidence=(Shown(code="band", values=values, plot=plot if band.levels_db else None),),
        keys=(("audio.sample_rate", str(rate)),),
    )


def check_targets(
    data: DataFigures,
    sums: SumFigures | None,
    tests: list[TestFigures],
    training: TrainingFigures | None,
) -> Draft | None:
    """References that are no part of their mixtures: targets permuted, or of other files."""
    evidence = []
    if sums is not None and sums.likenesses:
        likeness = median(sums.likenesses)
        if likeness < (ALIKE_NOISY if sums.noisy or data.origin == "existing" else ALIKE):
            values = {"split": sums.split, "likeness": likeness, "n": len(sums.likenesses)}
            evidence.append(Shown(code="sums", values=values))
    least = CEILING_DB[data.noisy] - 5 * (data.n_src > 2) - FLOOR_MARGIN_DB
    inputs = {own.name: own.input_db for own in tests if own.input_db is not None}
    if training and training.is_si_sdr and training.last.dev_gain_db is not None:
        inputs["dev"] = training.last.dev_db - training.last.dev_gain_db
    evidence += [
        Shown(code="input", values={"split": name, "input": value, "least": CEILING_DB[data.noisy]})
        for name, value in inputs.items()
        if value < least
    ]
    if not evidence:
        return None
    if training:
        values = {"train": training.last.train_db, "dev": training.last.dev_db}
        evidence.append(Shown(code="losses", values=values, plot=plot_curves(training)))
    rate = str(data.sample_rate)
    command = ("validate", data.dev_table, "--rate", rate) if data.dev_table else ()
    return Draft(code="targets", kind="fault", evidence=tuple(evidence), command=command)


def check_validation(validation: ValidationFigures | None) -> Draft | None:
    """Faults that ``validate`` named."""
    if validation is None or not validation.n_concerned:
        return None
    named = ", ".join(f"{name} {n}" for name, n in validation.faults)
    values = {"n": validation.n_concerned, "all": validation.n_mixtures, "named": named}
    evidence = (Shown(code="validation", values=values),)
    return Draft(code="validation", kind="fault", values=values, evidence=evidence)
