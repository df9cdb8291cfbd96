"""Checks of the model: receptive field and size."""

from separation.diagnosis.draft import Draft, Gain, Line, PlotDraft, Shown
from separation.diagnosis.figures import ModelFigures
from separation.diagnosis.published import BEST_FIELD_S, SMALL_FIELD_S

SHORT_FIELD_S = 1.0  # below it: shorter than any configuration of the paper's
VERY_SHORT_FIELD_S = 0.5  # below what the ladder measured, 0.64 s
SMALL_PARAMETERS = 3_000_000  # between the paper's small configuration and its best
PAPER_RATE = 8000  # Hz, which the paper's windows are given for


def check_field(model: ModelFigures) -> Draft | None:
    """A receptive field shorter than the paper's, mostly by windows of another rate."""
    seconds = model.field_s
    if seconds is None or seconds >= SHORT_FIELD_S:
        return None
    frames = model.field_frames or 0
    values = {
        "seconds": seconds,
        "rate_khz": model.sample_rate / 1000,
        "frames": frames,
        "mistaken_ms": 1000 * frames / model.sample_rate,
    }
    very_short = seconds < VERY_SHORT_FIELD_S
    # 0.5 s lacks little; a few windows can no longer tell voices apart by anything but timbre
    expected = Gain(0.3, 1.5) if seconds > SMALL_FIELD_S / 8 else Gain(1.0, 4.0)
    return Draft(
        code="field_rate" if _has_windows_of_lower_rate(model) else "field",
        kind="limit",
        values=values,
        evidence=(show_field(model),),
        keys=_lengthen(model),
        gain=expected if very_short else Gain(measured="field"),
    )


def show_field(model: ModelFigures) -> Shown:
    """The receptive field in frames, samples and seconds, beside the paper's."""
    seconds = model.field_s
    assert seconds is not None and model.field is not None
    bars = (
        Line("ours", ((0.0, seconds),)),
        Line("paper_small", ((1.0, SMALL_FIELD_S),)),
        Line("paper_best", ((2.0, BEST_FIELD_S),)),
    )
    values = {
        "frames": model.field_frames or 0,
        "samples": model.field,
        "seconds": seconds,
        "rate_khz": model.sample_rate / 1000,
    }
    return Shown(
        code="field" if model.field_frames else "field_samples",
        values=values,
        plot=PlotDraft(code="field", lines=bars, kind="bars"),
    )


def _has_windows_of_lower_rate(model: ModelFigures) -> bool:
    """Windows that at 8 kHz would be the paper's, at a higher rate and as they stand."""
    at_paper = model.field is not None and model.field / PAPER_RATE >= SHORT_FIELD_S
    return model.sample_rate > PAPER_RATE and model.kernel_rate == 0 and at_paper


def _lengthen(model: ModelFigures) -> tuple[tuple[str, str], ...]:
    """What brings the field to the paper's."""
    if _has_windows_of_lower_rate(model):
        return (("model.kernel_rate", str(PAPER_RATE)),)
    if model.name != "ConvTasNet" or model.kernel is None or model.stride is None:
        return ()
    blocks, repeats = max(7, model.blocks or 0), max(2, model.repeats or 0)
    span = repeats * 2 * (2**blocks - 1) * model.stride + model.kernel
    if span / model.sample_rate < SHORT_FIELD_S:
        blocks, repeats = max(8, blocks), max(3, repeats)
    return (("model.n_blocks", str(blocks)), ("model.n_repeats", str(repeats)))


def check_size(model: ModelFigures) -> Draft | None:
    """A small Conv-TasNet: a larger one is worth something, measured; a note."""
    if model.name != "ConvTasNet" or model.parameters is None:
        return None
    if model.parameters >= SMALL_PARAMETERS:
        return None
    keys = {"n_filters": 512, "kernel_size": 16, "stride": 8, "kernel_rate": PAPER_RATE}
    keys |= {"hid_chan": 512, "n_blocks": 8, "n_repeats": 3}
    return Draft(
        code="size",
        kind="note",
        values={"parameters": model.parameters / 1e6},
        evidence=(Shown(code="parameters", values={"millions": model.parameters / 1e6}),),
        keys=tuple((f"model.{name}", str(value)) for name, value in keys.items()),
        gain=Gain(measured="best_model"),
    )
