"""The command ``publish``: a model file and a card, ready for the Hub."""

import argparse
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from separation.files import check_writable, write_text
from separation.options import add_out

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which experiment is published, and what its card says beside what is known.

    Attributes:
        experiment: a folder ``exp/MIX/MODEL/TAG`` whose stage 5 is done.
        out: folder of the model file and the card.
        name: ``USER/NAME`` on the Hub; empty: a suggestion.
        author: empty: none is stated.
        licence: of the model, as the Hub writes it; empty: none is stated.
        language: code of the speech; empty: that of the corpus where it has one.
    """

    experiment: Path
    out: Path
    name: str = ""
    author: str = ""
    licence: str = ""
    language: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    add = parser.add_argument
    add(
        "experiment",
        type=Path,
        metavar="EXP",
        help="folder of an experiment whose stage 5 is done: exp/MIX/MODEL/TAG",
    )
    add_out(parser, "folder of pytorch_model.bin and README.md", required=True)
    add("--name", type=repository, metavar="USER/NAME", help="on the Hub (one is suggested)")
    add("--author", metavar="NAME", help="whom the card names (nobody)")
    add("--licence", metavar="ID", help="of the model, as the Hub writes it: cc-by-sa-4.0 (none)")
    add("--language", metavar="CODE", help="of the speech, such as en (the corpus's)")


def repository(text: str) -> str:
    """The type of ``--name``."""
    if not REPOSITORY.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text}: write it as USER/NAME, of letters, digits, . _ and -."
        )
    return text


def run(options: Options) -> None:
    """Write ``pytorch_model.bin`` and ``README.md``; print what is left to do.

    Raises:
        UserError: the experiment is not trained or not evaluated, or its checkpoint has changed.
    """
    from separation.models.published import HUB_FILE
    from separation.publish.card import format_card
    from separation.publish.package import suggest_repository, write_model
    from separation.publish.results import read_results

    results = read_results(options.experiment)
    check_writable(options.out, "choose another --out")
    model_file, card_file = options.out / HUB_FILE, options.out / "README.md"
    name = options.name or "USER/" + suggest_repository(results)
    card = format_card(results, name, options.author, options.licence, options.language)
    write_model(model_file, results, name, options.author, options.licence)
    write_text(card_file, card)
    print(f"{model_file}\n{card_file}")
    for option in ("author", "licence"):
        if not getattr(options, option):
            print(f"not stated: the {option} (--{option})")
    upload = shlex.join(["hf", "upload", name, str(options.out), "."])
    print(f"read the card, then upload: {upload}")
