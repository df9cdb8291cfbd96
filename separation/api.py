"""What programs use: the functions behind ``import separation``, for arrays, files and sets.

Arrays are NumPy's or PyTorch's, of any real floating-point type, and come back as NumPy's. A
mistake raises :class:`~separation.errors.UserError` (a ``ValueError``) with one sentence, before
long work. docs/python.md shows every function at work.
"""

import operator
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.errors import UserError, check_choice
from separation.mixtures.kinds import MIX_FOLDERS, MODES, TYPES
from separation.models import shipped
from separation.options import DATA, DEVICES

if TYPE_CHECKING:  # each function imports what it needs: scores need no torch
    import numpy as np
    from numpy.typing import ArrayLike
    from torch import nn

    from separation.metrics.score import Score
    from separation.mixtures.dataset import MixtureDataset
    from separation.mixtures.signals import Mixture
    from separation.mixtures.table import MixtureRow
    from separation.models.checkpoint.load import LoadedModel

Corpora = Mapping[str, str | PathLike[str]]
LOWEST_HZ, HIGHEST_HZ = 1000, 384000
LANGUAGES = ("en", "zh")  # of pages


def open_model(
    name: str | PathLike[str] = shipped.NAME, *, device: str = "auto", trust: bool = False
) -> "LoadedModel":
    """Load a separation model; nothing that its file says is run.

    Args:
        name: ``shipped``, the model that comes with the package; a file (Asteroid's ``.pth``,
            Lightning's ``.ckpt``), an experiment folder, a published name (the command
            ``models`` lists them), ``user/name[@revision]`` on the Hub, or a URL.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust: unpickle freely, for those who know who made the file.

    Returns:
        a record whose ``model`` takes ``(batch, time)`` and gives ``(batch, n_src, time)``, with
        ``sample_rate`` in Hz, ``n_src``, ``sha256`` and more.

    Raises:
        UserError: it cannot be found or fetched, is not a model, or is not harmless.
    """
    check_choice("device", device, DEVICES)
    from separation.device import choose_device
    from separation.models.checkpoint.load import open_model as load

    loaded = load(str(name), trust=trust)
    loaded.model.to(choose_device(device))
    return loaded


def separate(
    waveform: "ArrayLike",
    sample_rate: int,
    model: "str | PathLike[str] | LoadedModel | nn.Module" = shipped.NAME,
) -> "np.ndarray":
    """Separate a recording of any length into one signal a speaker.

    The model works at its own rate, on chunks of 30 s; the estimates have the rate and length
    of the recording and the level that each has in it.

    Args:
        waveform: ``(time,)``, floating-point, full scale at 1.
        sample_rate: of the waveform, in Hz.
        model: of :func:`open_model`, or what it takes; a module with a ``sample_rate`` in Hz.

    Returns:
        float32 ``(n_src, time)``; which speaker comes first is left to the model.

    Raises:
        UserError: not one channel, too short (below 0.1 s), silent, or not finite.
    """
    samples = _to_array("waveform", waveform, 1)
    _check_rate(sample_rate)
    from separation.recordings.waveform import separate_waveform

    module = _find_module(model)
    return separate_waveform(module, samples, sample_rate, _find_device(module), "waveform")


def separate_files(
    paths: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    model: "str | PathLike[str] | LoadedModel | nn.Module" = shipped.NAME,
    *,
    channel: str | int = "mean",
    bits: str = "16",
    mode: str = "auto",
    adapt: str = "auto",
    report: str | None = None,
) -> list[Path]:
    """Separate recordings of any format into ``out/<name>_s<k>.wav``, one WAV file a speaker.

    Beside them: ``<name>.rttm``, who speaks when; ``<name>.json``, what was measured. No file of
    others is replaced (a second ``call.*`` has ``call_mp3_s1.wav``); tracks that are there stay.

    Args:
        paths: recordings, and folders of them.
        out: a folder.
        model: as of :func:`separate`.
        channel: of several: ``mean``, ``first``, a number from 1, or ``each`` one by itself.
        bits: ``16``, ``24`` or ``float``, of the tracks.
        mode: ``conversation``, by turns; ``overlap``, as :func:`separate`; ``auto`` decides.
        adapt: let the model first learn the voices of a conversation: ``on``, ``off``, or
            ``auto``: where that takes no more than some minutes.
        report: language of a page on each (:func:`report_recording`): ``en``, ``zh``, or None.

    Returns:
        the tracks, in order, and behind each recording's its page.

    Raises:
        UserError: a file is missing; or, the others done, some are corrupt, silent or too short.
    """
    _check_recordings(str(channel), bits, mode, adapt, report or "en", Path(out))
    from separation.recordings.files import separate_files as separate_all
    from separation.recordings.job import Settings

    module = _find_module(model)
    settings = Settings(
        model=module,
        device=_find_device(module),
        out=Path(out),
        channel=str(channel),
        bits=bits,
        mode=mode,
        adapt=adapt,
        about=_describe_model(model),
        report=report or "",
    )
    return separate_all(settings, list(map(Path, paths)))


def _check_page(language: str, spoken: str) -> None:
    """Raise :class:`UserError` for what no page can be written by."""
    from separation.recordings.inputs import check_spoken

    check_choice("language", language, LANGUAGES)
    check_spoken(spoken)


def _check_recordings(
    channel: str, bits: str, mode: str, adapt: str, language: str, out: Path
) -> None:
    """Raise :class:`UserError` for what recordings cannot be separated by, or into."""
    from separation.files import check_writable
    from separation.recordings import inputs

    check_choice("bits", bits, ("16", "24", "float"))
    check_choice("report", language, LANGUAGES)
    check_choice("mode", mode, inputs.MODES)
    check_choice("adapt", adapt, inputs.ADAPT)
    inputs.check_channel(channel)
    check_writable(out, "choose another folder")


def report_recording(
    record: str | PathLike[str],
    page: str | PathLike[str] | None = None,
    *,
    language: str = "en",
    spoken: str = "",
) -> Path:
    """Write a page on a recording that was separated: what went wrong, what is hard, what to do.

    It needs no references: every voice beside the recording, DNSMOS, seconds in which voices may
    have changed places or be in one track, and what in the recording makes it hard. One file, in
    which everything is.

    Args:
        record: the ``<name>.json`` that :func:`separate_files` wrote beside the tracks.
        page: file of the page; None: ``<name>.html`` beside the tracks.
        language: of the page, ``en`` or ``zh``.
        spoken: code of the language of the recording, such as ``es``; empty: it is not said.

    Returns:
        the page.

    Raises:
        UserError: record, recording or tracks are not there, or have changed since.
    """
    _check_page(language, spoken)
    from separation.recordings.report.write import write_report

    return write_report(Path(record), None if page is None else Path(page), language, spoken)


def open_dataset(
    text: str | PathLike[str],
    *,
    sample_rate: int | None = None,
    corpora: Corpora | None = None,
    mode: str | None = None,
    kind: str | None = None,
    overrides: Sequence[str] = (),
    data: str | PathLike[str] = DATA,
) -> "MixtureDataset":
    """Open a set of mixtures: its rows, and the signals of each when it is asked for.

    Args:
        text: a mixture table (LibriMix's CSV, ours, wsj0-mix's .txt, one that names audio), a
            folder with ``mix/ s1/ s2/``, a tree of such folders (its test split is taken), or
            ``MIX:split``, a recipe's split that stage 2 has made.
        sample_rate: Hz, of the signals: tables are rendered at it, audio is resampled to it.
            None: the audio's own, the recipe's, or 8000.
        corpora: roots of the paths in a table by name, such as ``{"librispeech": DIR}``.
        mode: ``min`` or ``max``, of tables and trees; None: ``min``, or the recipe's.
        kind: ``mix_clean``, ``mix_both`` or ``mix``; None: what there is, with noise where it can.
        overrides: ``section.key=value`` of a recipe.
        data: folder in which ``MIX:split`` is looked for.

    Returns:
        a sequence of :class:`~separation.mixtures.signals.Mixture`, with ``rows`` and
        ``sample_rate``. A mixture whose ``row.fault`` is not empty raises when it is taken.

    Raises:
        UserError: it is no set of mixtures, a corpus is missing, or nothing of it can be read.
    """
    if sample_rate is not None:
        _check_rate(sample_rate)
    _check_forms(mode, kind, MIX_FOLDERS)
    from separation.datasets.evaluation_sets import open_eval_set
    from separation.datasets.options import MixtureOptions

    options = MixtureOptions(
        corpora=[f"{name}={Path(root)}" for name, root in (corpora or {}).items()],
        mode=mode,
        kind=kind,
        overrides=overrides,
        data=Path(data),
    )
    opened = open_eval_set(str(text), options, [sample_rate] if sample_rate else ())
    return opened.at(sample_rate or opened.own_rate or opened.options.sample_rate)


def score(
    estimates: "ArrayLike",
    references: "ArrayLike",
    *,
    mixture: "ArrayLike",
    sample_rate: int,
    metrics: Sequence[str] = ("si_sdr", "sdr"),
) -> "Score":
    """Score estimates as stage 5 and ``compare`` do, in the permutation of the best SI-SDR.

    Args:
        estimates: ``(n_src, time)``, in any order.
        references: ``(n_src, time)``.
        mixture: ``(time,)``; improvements are over it.
        sample_rate: Hz.
        metrics: of ``si_sdr``, ``sdr``, ``sir``, ``sar``, ``stoi``, ``pesq``.

    Returns:
        ``values``: by name, such as ``si_sdr``, ``input_si_sdr`` (the mixture's), ``si_sdri`` (the
        improvement), means over sources, and ``si_sdr_1`` of reference 1; in dB, but for STOI and
        PESQ. ``permutation``: the estimate of each reference. ``problems``: why there are no
        values, such as a silent reference, or what else is odd; see
        :data:`separation.metrics.PROBLEMS`.

    Raises:
        UserError: shapes that do not fit, samples that are not finite, a metric that is not there.
    """
    from separation.metrics import check_metrics, score_mixture

    _check_rate(sample_rate)
    check_metrics(metrics, sample_rate)
    return score_mixture(
        _to_array("mixture", mixture, 1),
        _to_array("references", references, 2),
        _to_array("estimates", estimates, 2),
        sample_rate,
        metrics,
    )


def summarise(scores: "Sequence[Score]") -> dict[str, Any]:
    """Means of many mixtures' scores with 95 % intervals.

    Args:
        scores: of :func:`score`, one a mixture.

    Returns:
        ``n_mixtures``, ``n_scored``, ``problems`` (numbers of mixtures by name), and of each
        metric ``{"mean", "low", "high", "n"}``: bootstrap intervals over mixtures. A mixture
        without values is in no mean.
    """
    from separation.evaluation.score_rows import ScoreRow
    from separation.evaluation.summary import summarise as summarise_rows

    rows = [
        ScoreRow(mixture_id=str(number), problems=own.problems, values=own.values)
        for number, own in enumerate(scores)
    ]
    if not rows:
        raise UserError("summarise: there are no scores.")
    return summarise_rows(rows)["all"].as_dict()


def render(
    row: "MixtureRow | Mapping[str, str]",
    *,
    corpora: Corpora | None = None,
    sample_rate: int = 8000,
    mode: str = "min",
    kind: str = "",
) -> "Mixture":
    """Render one row of a mixture table, equal to the official generators' 16-bit files to the bit.

    Args:
        row: of :func:`open_dataset`, or the columns of a CSV line: LibriMix's, ours, wsj0-mix's
            as ``local/wsj0mix.py`` reads them, or one that names audio.
        corpora: roots of its paths: one corpus of speech, and ``wham`` or ``noise``.
        sample_rate: of the signals, in Hz; audio that exists must have it.
        mode: ``min`` (cut to the shortest source) or ``max`` (zero-padded to the longest).
        kind: ``mix_clean``, ``mix_both`` or ``mix_single``; empty: ``mix_clean``, of wsj0-mix
            its only one.

    Returns:
        ``mixture`` ``(time,)``, ``sources`` ``(n_src, time)`` and ``noise`` ``(time,)`` or None,
        float32.

    Raises:
        UserError: a line that cannot be used, a corpus or file that is not there.
    """
    _check_rate(sample_rate)
    _check_forms(mode, kind, TYPES)
    from separation.corpora.plugin import choose_roots
    from separation.mixtures import source_files
    from separation.mixtures.render import render_mixture
    from separation.mixtures.table import Origin

    parsed = _parse_row(row)
    roots = None
    if parsed.origin != Origin.EXISTING:
        named = {name: Path(root) for name, root in (corpora or {}).items()}
        roots = source_files.Corpora(*choose_roots(named, "render"))
    return render_mixture(parsed, roots, sample_rate, mode, kind, with_noise=True)


def _parse_row(row: "MixtureRow | Mapping[str, str]") -> "MixtureRow":
    from separation.mixtures.table import MixtureRow, list_missing_columns, parse_row

    if isinstance(row, MixtureRow):
        if row.fault:
            raise UserError(f"{row.mixture_id}: {row.fault}.")
        return row
    missing = list_missing_columns({*row})
    if missing:
        raise UserError(f"row: lacks {', '.join(missing)}; give the columns of a mixture table.")
    return parse_row(dict(row))


def _find_module(model: "str | PathLike[str] | LoadedModel | nn.Module") -> "nn.Module":
    """The network of what a caller may give as a model, in eval mode."""
    from torch import nn

    from separation.models.checkpoint.load import LoadedModel

    if isinstance(model, LoadedModel):
        return model.model
    if isinstance(model, nn.Module):
        if not hasattr(model, "sample_rate"):
            raise UserError(f"{type(model).__name__}: has no sample_rate, in Hz; set it.")
        return model.eval()
    return open_model(model).model


def _describe_model(model: "str | PathLike[str] | LoadedModel | nn.Module") -> str:
    """What a record of separated files says of the model."""
    name = getattr(model, "name", None) or model
    text = str(name) if isinstance(name, str | PathLike) else type(name).__name__
    return shipped.describe_named(text)


def _find_device(module: "nn.Module") -> Any:
    """Where a network's parameters lie."""
    import torch

    return next((own.device for own in module.parameters()), torch.device("cpu"))


def _to_array(name: str, signals: "ArrayLike", n_axes: int) -> "np.ndarray":
    """Signals of a caller as NumPy's, looked at.

    Raises:
        UserError: not floating-point, not finite, empty, or of another shape.
    """
    import numpy as np

    if hasattr(signals, "detach"):  # of PyTorch
        signals = signals.detach().cpu().numpy()
    array = np.asarray(signals)
    wanted = {1: "(time,)", 2: "(n_src, time)"}[n_axes]
    if array.ndim != n_axes or not array.size:
        raise UserError(f"{name}: has the shape {array.shape}; give {wanted}.")
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f"{name}: holds {array.dtype}; give floating-point samples (16-bit ones over 32768)."
        )
    if not np.isfinite(array).all():
        raise UserError(f"{name}: holds NaN or infinite samples.")
    return array


def _check_rate(sample_rate: int) -> None:
    try:
        rate = operator.index(sample_rate)
    except TypeError:
        rate = 0
    if not LOWEST_HZ <= rate <= HIGHEST_HZ:
        raise UserError(
            f"sample_rate={sample_rate}: give whole Hz within {LOWEST_HZ}..{HIGHEST_HZ}."
        )


def _check_forms(mode: str | None, kind: str | None, kinds: tuple[str, ...]) -> None:
    if mode:
        check_choice("mode", mode, MODES)
    if kind:
        check_choice("kind", kind, kinds)
