"""``python -m separation COMMAND``: stages, ``separate``, ``render``, ``validate``, ``overfit``."""

import argparse
import logging
import os
import sys
from pathlib import Path

from separation.environment import ROOT, format_command
from separation.errors import UnscoredError, UserError
from separation.experiment.open import open_experiment
from separation.files import check_writable
from separation.stages.table import STAGES

METRICS_HELP = "of si_sdr sdr (these are the default) sir sar stoi pesq (needs pip install pesq)"
MODEL_HELP = "file, experiment folder, Hub name[@revision], published name or URL (see `models`)"
TRUST_HELP = "unpickle freely, which runs whatever the file says"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(f"{message}; see {self.prog} --help.")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=format_command(), description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for stage in STAGES:
        text = f"stage {stage.number}: {stage.help}"
        command = commands.add_parser(stage.name, help=text, allow_abbrev=False)
        _add_recipe_options(command)
    separate = commands.add_parser(
        "separate", help="separate recordings: one WAV per speaker", allow_abbrev=False
    )
    separate.add_argument("files", nargs="+", type=Path, metavar="FILE")
    separate.add_argument("--model", required=True, metavar="MODEL", help=MODEL_HELP)
    separate.add_argument("--trust-checkpoint", action="store_true", help=TRUST_HELP)
    separate.add_argument("--out", type=Path, required=True, metavar="DIR")
    separate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    _add_render_options(commands)
    _add_validate_options(commands)
    _add_overfit_options(commands)
    _add_publishing_options(commands)
    _add_compare_options(commands)
    return parser


def _add_render_options(commands) -> None:
    render = commands.add_parser(
        "render", help="mixture tables -> WAV trees in LibriMix's layout", allow_abbrev=False
    )
    add = render.add_argument
    add("tables", nargs="+", type=Path, metavar="METADATA", help="CSV, or wsj0-mix's .txt")
    add("--corpus", action="append", default=[], metavar="NAME=DIR")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--rates", nargs="+", type=int, default=[8000], metavar="HZ")
    add("--modes", nargs="+", default=["min"], metavar="min|max")
    add("--types", nargs="+", default=["mix_clean"], metavar="TYPE")
    add("--absolute-paths", action="store_true", help="as Asteroid's own recipe expects")
    add("--nj", type=int, default=os.cpu_count() or 1, metavar="N")


def _add_validate_options(commands) -> None:
    validate = commands.add_parser(
        "validate", help="check a set of mixtures; exit 1: it has faults", allow_abbrev=False
    )
    add = validate.add_argument
    add("mixtures", nargs="+", metavar="MIXTURES", help="table, folder of audio, MIX:split, JSON")
    add("--corpus", action="append", default=[], metavar="NAME=DIR", help="what a table names")
    add("--rate", type=int, metavar="HZ", help="8000, or the recipe's")
    add("--mode", metavar="min|max", help="of tables and trees: min, or the recipe's")
    add("--type", metavar="TYPE", help="mix_clean, mix_both or mix, where there are several")
    add("--min-s", type=float, default=1.0, metavar="S", help="shorter mixtures are too short")
    add("--level-tolerance", type=float, default=0.1, metavar="DB")
    add("--allow", action="append", default=[], metavar="CHECK", help="list it, but let it pass")
    add("--allow-shared-speakers", action="store_true", help="--allow leakage: wsj0-mix's tr, cv")
    add("--out", type=Path, metavar="DIR", help="validation.md, .json and histograms")
    add("--data", type=Path, default=ROOT / "data", metavar="DIR", help="of MIX:split")
    add("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    add("--nj", type=int, default=os.cpu_count() or 1, metavar="N")


def _add_compare_options(commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="score models on test sets; exit 1: some mixtures could not",
        allow_abbrev=False,
    )
    add = compare.add_argument
    add("--models", nargs="+", required=True, metavar="MODEL", help=MODEL_HELP)
    add("--test-sets", nargs="+", required=True, metavar="SET", help="table, folder or MIX:split")
    add("--corpus", action="append", default=[], metavar="NAME=DIR", help="what a table names")
    add("--out", type=Path, default=ROOT / "exp" / "compare", metavar="DIR")
    add("--metrics", nargs="+", default=["si_sdr", "sdr"], metavar="METRIC", help=METRICS_HELP)
    add(
        "--oracles",
        nargs="*",
        default=["ibm", "irm", "wfm"],
        metavar="MASK",
        help="ceilings: ibm irm wfm",
    )
    add("--limit", type=int, metavar="N", help="an evenly spaced sample of each set")
    add("--worst", type=int, default=3, metavar="N", help="mixtures to hear in the report")
    add("--sixteen-bit", action="store_true", help="also scores of 16-bit files: cost of clipping")
    add("--trust-checkpoint", action="store_true", help=TRUST_HELP)
    add("--rate", type=int, metavar="HZ", help="of tables and trees; each model's own")
    add("--mode", metavar="min|max", help="of tables and trees: min, or the recipe's")
    add("--type", metavar="TYPE", help="mix_clean, mix_both or mix, where there are several")
    add("--data", type=Path, default=ROOT / "data", metavar="DIR", help="of MIX:split")
    add("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    add("--nj", type=int, default=os.cpu_count() or 1, metavar="N")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _add_publishing_options(commands) -> None:
    models = commands.add_parser(
        "models", help="published models: scores, licence, where, cached", allow_abbrev=False
    )
    models.add_argument("--json", action="store_true", help="as JSON")
    publish = commands.add_parser(
        "publish", help="experiment -> model file and card for the Hub", allow_abbrev=False
    )
    add = publish.add_argument
    add("experiment", type=Path, metavar="EXP", help="exp/MIX/MODEL/TAG, evaluated")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--name", default="", metavar="USER/NAME", help="on the Hub")
    add("--author", default="", metavar="NAME")
    add("--licence", default="", metavar="ID", help="of the model, as the Hub writes it")
    add("--language", default="", metavar="CODE", help="of the speech, such as en")


def _add_overfit_options(commands) -> None:
    command = commands.add_parser(
        "overfit",
        help="learn ten training mixtures by heart; exit 1: it cannot",
        allow_abbrev=False,
    )
    _add_recipe_options(command)
    command.add_argument("--minutes", type=float, default=10.0, metavar="M")
    command.add_argument("--n", type=int, default=10, metavar="N", help="mixtures")


def _add_recipe_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", default="mini/ConvTasNet", metavar="MIX/MODEL")
    command.add_argument("--tag", default="default", metavar="NAME")
    command.add_argument("--corpus", action="append", default=[], metavar="NAME=DIR")
    command.add_argument("--data", type=Path, default=ROOT / "data", metavar="DIR")
    command.add_argument("--exp", type=Path, default=ROOT / "exp", metavar="DIR")
    command.add_argument("--nj", type=int, default=os.cpu_count() or 1, metavar="N")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")


def _run_separate(args: argparse.Namespace) -> None:
    for path in args.files:
        if not path.is_file():
            raise UserError(f"{path}: no such audio file; check the path.")
    check_writable(args.out, "choose another folder with --out")
    from separation.environment import choose_device
    from separation.models.checkpoint.load import open_model
    from separation.separate.separate import separate_files

    device = choose_device(args.device)
    try:
        model = open_model(args.model, trust=args.trust_checkpoint).model.to(device)
    except UserError as error:
        raise UserError(f"--model {error}") from error
    for path in separate_files(model, args.files, args.out, device):
        print(path)


def _run_command(args: argparse.Namespace) -> int:
    """The exit code: 0, or what ``validate`` found."""
    if args.command == "separate":
        _run_separate(args)
        return 0
    if args.command == "render":
        from separation.render.command import render_tables

        render_tables(args)
        return 0
    if args.command == "validate":
        from separation.mixture_checks.command import validate_mixtures

        return validate_mixtures(args)
    if args.command == "models":
        from separation.publish.list_command import print_models

        print_models(as_json=args.json)
        return 0
    if args.command == "publish":
        from separation.publish.command import publish_experiment

        publish_experiment(args)
        return 0
    if args.command == "compare":
        from separation.compare.command import compare_models

        return compare_models(args)
    experiment = open_experiment(
        args.recipe,
        args.sets,
        tag=args.tag,
        corpora=args.corpus,
        data=args.data.resolve(),
        exp=args.exp.resolve(),
        n_jobs=args.nj,
        device=args.device,
    )
    if args.command == "overfit":
        from separation.stages.state import require_done

        require_done(experiment, "corpus", "metadata", "audio")  # before imports that take seconds
        from separation.overfit.command import run_overfit

        return run_overfit(args, experiment)
    from separation.stages.run import run_stage

    run_stage(experiment, args.command)
    return 0


def main() -> int:
    """Parse and call; a user's mistake is one sentence and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for noisy in (
        "matplotlib",
        "pytorch_lightning",
        "lightning",
        "torch",
        "httpx",
        "lightning_fabric",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return _run_command(_build_parser().parse_args())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, UnscoredError) else 2
    except KeyboardInterrupt:
        print("interrupted: run the same command to go on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
