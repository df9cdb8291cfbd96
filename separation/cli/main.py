"""From the words of a command line to a command's function, and to an exit code."""

import argparse
import importlib
import logging
import os
import re
import select
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import separation
from separation.cli.commands import COMMANDS, STAGE_COMMANDS, TOOL_COMMANDS, Command
from separation.environment import format_command
from separation.errors import UnscoredError, UserError
from separation.options import CommandModule
from separation.text import suggest_nearest

PROGRAM = format_command()
NOISY = ("matplotlib", "pytorch_lightning", "lightning", "lightning_fabric", "torch", "httpx")
INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 and the signal's number, as shells have it


def main(words: Sequence[str] | None = None) -> int:
    """Parse and call; a user's mistake is one sentence on stderr and exit code 2.

    Args:
        words: of the command line; None: those of this process.

    Returns:
        0 done, 1 done but for faults that were named, 2 a mistake, 130 interrupted.
    """
    _set_up_logging()
    try:
        code = run_words([*(sys.argv[1:] if words is None else words)])
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, UnscoredError) else 2
    except KeyboardInterrupt:
        print("interrupted: run the same command to go on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _let_go_of_closed_pipes():
            raise
        return BROKEN_PIPE


def run_words(words: list[str]) -> int:
    """Do what the words ask for; returns the exit code.

    Raises:
        UserError: an unknown command or option, or what the command itself finds wrong.
    """
    name, *rest = words or [""]
    if name in ("-h", "--help"):
        print(format_help())
        return 0
    if name == "--version":
        print(f"separation {separation.__version__}")
        return 0
    command = _find_command(name)
    module: CommandModule = importlib.import_module(command.module)  # type: ignore[assignment]
    _refuse_empty(rest)
    parser = build_parser(name, command, module)
    try:
        values = parse_words(parser, rest)
    except _HelpAskedFor:
        return 0
    return _call(module, module.Options(**command.fixed, **values))


def _call(module: CommandModule, options: Any) -> int:
    """Run a command; what the machine refuses is a :class:`UserError` too."""
    try:
        return module.run(options) or 0
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        from separation.cli.faults import explain_fault, list_folders

        if sentence := explain_fault(error, list_folders(options)):
            raise UserError(sentence) from error
        raise


def _find_command(name: str) -> Command:
    if name in COMMANDS:
        return COMMANDS[name]
    if not name:
        raise UserError(f"which command? {PROGRAM} --help lists them.")
    what = "option" if name.startswith("-") else "command"
    near = suggest_nearest(name, COMMANDS)
    raise UserError(f"there is no {what} {name}; {near}{PROGRAM} --help lists them.")


def format_help() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [
        [f"  {name:{width}}  {command.help}" for name, command in commands.items()]
        for commands in (STAGE_COMMANDS, TOOL_COMMANDS)
    ]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [options]",
            "",
            "Stages of a recipe, which bash run.sh calls in this order:",
            *lines[0],
            "",
            "Tools:",
            *lines[1],
            "",
            f"{PROGRAM} COMMAND --help explains a command's options.",
        ]
    )


class _HelpAskedFor(Exception):
    """The help was printed; there is nothing more to do."""


class _Parser(argparse.ArgumentParser):
    """Mistakes are a :class:`UserError`; nothing ends the process."""

    def error(self, message: str) -> NoReturn:
        text = re.sub(r"^argument ([^:]+): (?=--)", "", message)  # the check names its option
        text = re.sub(r"^argument ([^:]+): ", r"\1 ", text)
        end = "" if text.endswith(".") else f"; see {self.prog} --help."
        raise UserError(text + end)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _HelpAskedFor


def build_parser(name: str, command: Command, module: CommandModule) -> argparse.ArgumentParser:
    """The parser of one command; an option that is not given is not among the parsed values."""
    parser = _Parser(
        prog=command.called_as or f"{PROGRAM} {name}",
        description=command.help,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    module.add_options(parser)
    return parser


def parse_words(parser: argparse.ArgumentParser, words: list[str]) -> dict[str, Any]:
    """Values by field of the command's ``Options``.

    Raises:
        UserError: a word that is no option's, or that its option does not take.
    """
    parsed, unknown = parser.parse_known_args(words)
    for word in unknown:
        option = word.partition("=")[0]
        if not option.startswith("-"):
            raise UserError(f"{word}: belongs to no option; see {parser.prog} --help.")
        near = suggest_nearest(option, parser._option_string_actions)
        raise UserError(f"unknown option {option}; {near}{parser.prog} --help lists all.")
    return vars(parsed)


def _refuse_empty(words: list[str]) -> None:
    """Raise where a value is empty, such as that of an unset variable of a shell."""
    for option, word in zip(["", *words], words, strict=False):
        if not word:
            raise UserError(f"{option or 'the first word'} needs a value that is not empty.")
        if re.fullmatch(r"--[a-z-]+=", word):
            raise UserError(f"{word[:-1]} needs a value that is not empty.")


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _let_go_of_closed_pipes() -> bool:
    """Whether nobody reads stdout or stderr any more, as after ``| head``.

    Such a stream leads nowhere from here, so that the interpreter's last flush does not fail.
    """
    closed = False
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            closed = True
    return closed
