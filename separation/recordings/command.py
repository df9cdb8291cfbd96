"""The command ``separate``: recordings -> one WAV file per speaker."""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.errors import MissingInputError, UnscoredError, UserError
from separation.files import check_writable
from separation.models import shipped
from separation.options import (
    add_device,
    add_model,
    add_out,
    add_trust,
    kept_if,
    number_from,
    one_of,
    whole_number,
)
from separation.recordings.inputs import ADAPT, MODES, STREAM, check_channel, check_spoken

if TYPE_CHECKING:
    from separation.recordings.job import Settings

logger = logging.getLogger(__name__)

BLOCK_MS = 100.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is separated, by which model, into what folder.

    Attributes:
        files: recordings and folders of them, of any format, rate and number of channels; or
            ``-`` alone, from stdin to stdout.
        model: ``shipped``, a file, an experiment folder, a published name, a Hub name or a URL.
        out: folder of the tracks, ``<name>_s<k>.wav``.
        channel: ``mean``, ``first``, ``each``, or a number from 1.
        bits: ``16``, ``24`` or ``float``, of the tracks.
        mode: ``auto``, ``conversation`` or ``overlap``.
        adapt: ``auto``, ``on`` or ``off``: let the model learn the voices of a conversation first.
        stream: by blocks, through a causal model, as they come.
        block_ms: milliseconds of a block of a stream.
        raw: Hz of samples without a header, from stdin; 0: it is WAV.
        trust: unpickle the model's file freely.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: write a page on each recording beside its tracks, ``NAME.html``.
        language: of the page, ``en`` or ``zh``.
        spoken: code of the language of the recordings, for the page; empty: it is not said.
    """

    files: Sequence[Path]
    model: str = shipped.NAME
    out: Path = Path("separated")
    channel: str = "mean"
    bits: str = "16"
    mode: str = "auto"
    adapt: str = "auto"
    stream: bool = False
    block_ms: float = BLOCK_MS
    raw: int = 0
    trust: bool = False
    device: str = "auto"
    report: bool = False
    language: str = "en"
    spoken: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recording of any format and rate, or a folder; - alone: WAV from stdin to stdout",
    )
    add_model(parser)
    add_out(parser, "folder of NAME_s1.wav, NAME_s2.wav, ..., NAME.rttm and NAME.json (separated)")
    parser.add_argument(
        "--channel",
        type=kept_if(check_channel),
        metavar="mean|first|N|each",
        help="of recordings of several: each separates every channel by itself (mean)",
    )
    parser.add_argument(
        "--bits", type=one_of("16", "24", "float"), metavar="16|24|float", help="of the tracks (16)"
    )
    parser.add_argument(
        "--mode",
        type=one_of(*MODES),
        metavar="|".join(MODES),
        help="of two voices: by turns, or as the model's outputs are; auto decides (auto)",
    )
    parser.add_argument(
        "--adapt",
        type=one_of(*ADAPT),
        metavar="|".join(ADAPT),
        help="of a conversation: a copy of the model first learns its voices where each speaks "
        "alone; auto: where that takes no more than some minutes (auto)",
    )
    _add_streaming(parser)
    _add_report(parser)
    add_trust(parser)
    add_device(parser)


def _add_streaming(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--stream",
        action="store_true",
        help="block by block, as the recording or stdin comes in; needs a causal model",
    )
    add(
        "--block-ms",
        type=number_from(0, above=True),
        metavar="MS",
        help=f"length of a block of --stream, the largest part of its latency ({BLOCK_MS:g})",
    )
    add(
        "--raw",
        type=whole_number(1000),
        metavar="HZ",
        help="stdin of --stream holds 16-bit samples of one channel at this rate, no header",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        action="store_true",
        help="a page on each recording, NAME.html: what went wrong, what in it is hard, what to do",
    )
    parser.add_argument(
        "--language", type=one_of("en", "zh"), metavar="en|zh", help="of --report's page (en)"
    )
    parser.add_argument(
        "--spoken",
        type=kept_if(check_spoken),
        metavar="CODE",
        help="language spoken in the recordings, such as es; --report compares it with the model's",
    )


def run(options: Options) -> None:
    """Separate every recording; prints the paths of the tracks, and of pages.

    Raises:
        UserError: a file or model that cannot be used.
        UnscoredError: some recordings could not be separated; the others are.
    """
    streams = [path for path in options.files if str(path) == STREAM]
    _check_streaming(options, from_stdin=bool(streams))
    _check_report(options)
    if streams and len(options.files) > 1:
        raise UserError("-: stdin stands alone; separate files in another call.")
    if streams and options.report:
        raise UserError("--report: is of recordings on disk; name a file in place of -.")
    for path in options.files:
        if not streams and not path.exists():
            raise MissingInputError(f"{path}: is not there; check the path.")
    if not streams:
        check_writable(options.out, "choose another folder with --out")
    about = shipped.describe_named(options.model)
    if options.model == shipped.NAME:
        logger.info("model: %s", about)
    settings = _open_settings(options, about)
    if not streams:
        _separate_files(settings, options.files)
    elif options.stream:
        from separation.recordings.stream import stream_pipe

        stream_pipe(settings, sys.stdin.buffer, sys.stdout.buffer, options.raw)
    else:
        from separation.recordings.files import separate_stream

        separate_stream(settings, sys.stdin.buffer, sys.stdout.buffer)


def _check_report(options: Options) -> None:
    """Refuse options of a page that nobody asked for."""
    for name, is_given in (("spoken", options.spoken), ("language", options.language != "en")):
        if is_given and not options.report:
            raise UserError(f"--{name}: is of the page of --report; add that, or leave it out.")


def _check_streaming(options: Options, *, from_stdin: bool) -> None:
    if options.block_ms != BLOCK_MS and not options.stream:
        raise UserError("--block-ms: is of --stream; add that, or leave it out.")
    if options.raw and not (options.stream and from_stdin):
        raise UserError("--raw: is of --stream from stdin; write it as --stream --raw HZ -.")
    if options.stream and options.report:
        raise UserError(
            "--report: looks at the whole recording, which --stream cannot; separate it without."
        )
    if options.stream and options.mode == "conversation":
        raise UserError(
            "--mode conversation: looks at the whole recording, which --stream cannot; leave one "
            "of them out."
        )
    if options.stream and options.channel == "each":
        raise UserError("--channel each: --stream takes one channel; choose a number.")


def _open_settings(options: Options, about: str) -> "Settings":
    """The model, and how recordings go through it."""
    from separation.device import choose_device
    from separation.models.checkpoint.load import open_model
    from separation.models.streaming import refuse_lookahead
    from separation.recordings.job import Settings

    device = choose_device(options.device)
    try:
        model = open_model(options.model, trust=options.trust).model.to(device)
    except UserError as error:
        raise UserError(f"--model {error}") from error
    if options.stream:
        refuse_lookahead(model)
    return Settings(
        model=model,
        device=device,
        out=options.out,
        channel=options.channel,
        bits=options.bits,
        mode=options.mode,
        adapt=options.adapt,
        about=about,
        block_s=options.block_ms / 1000 if options.stream else 0.0,
        report=options.language if options.report else "",
        spoken=options.spoken,
    )


def _separate_files(settings: "Settings", files: Sequence[Path]) -> None:
    """Print the tracks; raises :class:`UnscoredError` at the end where some could not be made."""
    from separation.recordings.files import separate_files

    fault: UnscoredError | None = None
    try:
        paths = separate_files(settings, files)
    except UnscoredError as error:
        paths, fault = error.outputs, error
    for path in paths:
        print(path)
    if fault is not None:
        raise fault
