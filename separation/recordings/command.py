"""The command ``separate``: recordings -> one WAV file per speaker."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import check_writable
from separation.models import shipped
from separation.options import add_device, add_model, add_out, add_trust

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is separated, by which model, into what folder.

    Attributes:
        files: recordings of one channel, of any format and rate.
        model: ``shipped``, a file, an experiment folder, a published name, a Hub name or a URL.
        out: folder of the WAV files, ``<name>_s<k>.wav``.
        trust: unpickle the model's file freely.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    files: Sequence[Path]
    model: str = shipped.NAME
    out: Path = Path("separated")
    trust: bool = False
    device: str = "auto"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recording of one channel, of any format and sample rate",
    )
    add_model(parser)
    add_out(parser, "folder of the WAV files, NAME_s1.wav, NAME_s2.wav, ... (separated)")
    add_trust(parser)
    add_device(parser)


def run(options: Options) -> None:
    """Separate every file; prints the paths that were written.

    Raises:
        UserError: a file or model that cannot be used.
    """
    for path in options.files:
        if not path.is_file():
            raise MissingInputError(f"{path}: is not there; check the path.")
    check_writable(options.out, "choose another folder with --out")
    if options.model == shipped.NAME:
        logger.info("model: %s", shipped.describe_shipped())
    from separation.device import choose_device
    from separation.models.checkpoint.load import open_model
    from separation.recordings.files import separate_files

    device = choose_device(options.device)
    try:
        model = open_model(options.model, trust=options.trust).model.to(device)
    except UserError as error:
        raise UserError(f"--model {error}") from error
    for path in separate_files(model, options.files, options.out, device):
        print(path)
