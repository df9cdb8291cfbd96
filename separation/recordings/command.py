"""The command ``separate``: recordings -> one WAV file per speaker."""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import check_writable
from separation.models import shipped
from separation.options import add_device, add_model, add_out, add_trust, kept_if, one_of
from separation.recordings.inputs import MODES, STREAM, check_channel

logger = logging.getLogger(__name__)


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
        trust: unpickle the model's file freely.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    files: Sequence[Path]
    model: str = shipped.NAME
    out: Path = Path("separated")
    channel: str = "mean"
    bits: str = "16"
    mode: str = "auto"
    trust: bool = False
    device: str = "auto"


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
    add_trust(parser)
    add_device(parser)


def run(options: Options) -> None:
    """Separate every recording; prints the paths of the tracks.

    Raises:
        UserError: a file or model that cannot be used.
        UnscoredError: some recordings could not be separated; the others are.
    """
    streams = [path for path in options.files if str(path) == STREAM]
    if streams and len(options.files) > 1:
        raise UserError("-: stdin stands alone; separate files in another call.")
    for path in options.files:
        if not streams and not path.exists():
            raise MissingInputError(f"{path}: is not there; check the path.")
    if not streams:
        check_writable(options.out, "choose another folder with --out")
    about = shipped.describe_shipped() if options.model == shipped.NAME else options.model
    if options.model == shipped.NAME:
        logger.info("model: %s", about)
    _separate(options, about, from_stdin=bool(streams))


def _separate(options: Options, about: str, *, from_stdin: bool) -> None:
    from separation.device import choose_device
    from separation.errors import UnscoredError
    from separation.models.checkpoint.load import open_model
    from separation.recordings.files import separate_files, separate_stream
    from separation.recordings.job import Settings

    device = choose_device(options.device)
    try:
        model = open_model(options.model, trust=options.trust).model.to(device)
    except UserError as error:
        raise UserError(f"--model {error}") from error
    settings = Settings(
        model=model,
        device=device,
        out=options.out,
        channel=options.channel,
        bits=options.bits,
        mode=options.mode,
        about=about,
    )
    if from_stdin:
        separate_stream(settings, sys.stdin.buffer, sys.stdout.buffer)
        return
    fault: UnscoredError | None = None
    try:
        paths = separate_files(settings, options.files)
    except UnscoredError as error:
        paths, fault = error.outputs, error
    for path in paths:
        print(path)
    if fault is not None:
        raise fault
