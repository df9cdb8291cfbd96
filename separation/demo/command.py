"""The command ``demo``: a page on this machine to try separation with."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from separation.models import shipped
from separation.options import add_device, add_models, number_from, whole_number

PORT, LONGEST_S, LARGEST_MB, WAITING = 7860, 300.0, 100, 20


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the page offers, and what it takes.

    Attributes:
        models: beside ``shipped`` and the published ones that are cached here.
        port: of the loopback address.
        longest_s: seconds of a recording.
        largest_mb: megabytes of its file.
        waiting: recordings in the queue; one at a time is separated.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    models: Sequence[str] = ()
    port: int = PORT
    longest_s: float = LONGEST_S
    largest_mb: int = LARGEST_MB
    waiting: int = WAITING
    device: str = "auto"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    add = parser.add_argument
    add_models(parser, f"offered beside {shipped.NAME} and cached published models")
    add("--port", type=whole_number(1), metavar="N", help=f"of 127.0.0.1 ({PORT})")
    add(
        "--longest-s",
        type=number_from(0, above=True),
        metavar="S",
        help=f"seconds of a recording, at most ({LONGEST_S:g})",
    )
    add(
        "--largest-mb",
        type=whole_number(1),
        metavar="MB",
        help=f"megabytes of a file, at most ({LARGEST_MB})",
    )
    add(
        "--waiting",
        type=whole_number(1),
        metavar="N",
        help=f"recordings that may wait; one is separated at a time ({WAITING})",
    )
    add_device(parser)


def run(options: Options) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C.

    Raises:
        UserError: gradio is missing, a model cannot be used, or the port is taken.
    """
    from separation.demo.page import find_gradio, serve

    find_gradio()
    from separation.demo.separating import Limits, open_models
    from separation.device import choose_device

    serve(
        open_models(options.models, choose_device(options.device)),
        Limits(longest_s=options.longest_s, largest_mb=options.largest_mb),
        port=options.port,
        waiting=options.waiting,
    )
