"""What one call of ``ablate`` runs: every rung with every seed, its options resolved and checked.

Light imports: a ladder that is done answers before torch is there.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from separation.ablate.ladder import (
    Ladder,
    Rung,
    Value,
    count_epochs,
    format_overrides,
)
from separation.ablate.options import Options
from separation.config.load import load_conf
from separation.config.training import MACHINE_KEYS
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.experiment.experiment import Experiment
from separation.experiment.options import RecipeOptions
from separation.files import hash_text_file, hash_value, read_json

DATA_SECTIONS = ("corpus", "splits", "metadata", "mixtures", "audio")
MAX_PREPARED = 3  # data sets at a time, as a rule: those of one corpus wait for each other
SPLIT = "split:"  # of a test set that is the recipe's own, as split:test


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: a rung with a seed.

    Attributes:
        ladder: its rung's.
        rung: what is trained.
        seed: of weights and mixtures.
        options: of its stages, as their command lines have them.
        data_jobs: processes of its stages 0 to 3, of which few run at once.
        out: folder of the whole ladder.
        inputs: what the ladder's relative paths are relative to.
    """

    ladder: Ladder
    rung: Rung
    seed: int
    options: RecipeOptions
    data_jobs: int
    out: Path
    inputs: Path

    @property
    def name(self) -> str:
        return self.options.tag

    @property
    def result(self) -> Path:
        """What the training gave; there once it is trained and scored."""
        return self.out / "results" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.out / "logs" / f"{self.name}.txt"

    @cached_property
    def experiment(self) -> Experiment:
        return self.options.open_experiment()

    @property
    def steps(self) -> int:
        """Of the whole training."""
        training = self.experiment.conf.training
        return training.epochs * (training.epoch_mixtures // training.batch_size)

    def find_tests(self) -> dict[str, str]:
        """Test sets by name: a table's full path, or ``split:NAME``, one of the recipe's own."""
        texts = self.ladder.tests
        if not texts:
            return {name: f"{SPLIT}{name}" for name in self.experiment.test_splits}
        return {
            name: text if text.startswith(SPLIT) else str(self.inputs / Path(text).expanduser())
            for name, text in texts.items()
        }

    @cached_property
    def key(self) -> str:
        """Hash of what the result depends on: the training's config, corpora and test tables."""
        conf = self.experiment.conf
        training = conf.section("training")["training"]
        kept = {key: training[key] for key in sorted(training) if key not in MACHINE_KEYS}
        tests = {name: _fingerprint_test(text) for name, text in self.find_tests().items()}
        sections = conf.section(*DATA_SECTIONS, "model")
        return hash_value([self.ladder.recipe, self.rung.corpora, sections, kept, tests])

    @property
    def is_done(self) -> bool:
        """Whether the result is there; one of other settings is a mistake.

        Raises:
            UserError: the result was made with other settings.
        """
        saved = read_json(self.result)
        if saved is None:
            return False
        if saved["key"] != self.key:
            raise UserError(
                f"{self.result}: was made with other settings of rung {self.rung.name}; choose "
                "another --out, or remove it."
            )
        return True


def _fingerprint_test(text: str) -> str:
    return text if text.startswith(SPLIT) else hash_text_file(Path(text))


def plan_runs(ladder: Ladder, options: Options) -> list[Run]:
    """All runs of a call, those of the first seed first; every config is checked.

    Raises:
        UserError: a rung's config, corpus or test set cannot be; names the rung.
    """
    rungs = ladder.choose(list(options.rungs))
    runs = [_plan_run(ladder, rung, seed, options) for seed in options.seeds for rung in rungs]
    for run in runs:
        _check(run)
    return runs


def _plan_run(ladder: Ladder, rung: Rung, seed: int, options: Options) -> Run:
    out, inputs = options.folder, find_inputs(ladder, options.inputs)
    given = [*format_overrides(_resolve_paths(rung.changes)), *options.overrides]
    try:
        conf = load_conf(ROOT, ladder.recipe, given)
    except UserError as error:
        raise UserError(f"{ladder.path}: rung {rung.name}: {error}") from error
    n_epochs, n_steps = count_epochs(rung.steps, ladder.validate_every)
    derived: dict[str, Value] = {
        "training.epochs": n_epochs,
        "training.epoch_mixtures": n_steps * conf.training.batch_size,
        "training.seed": seed,
    }
    corpora = [f"{name}={_place(text, inputs)}" for name, text in rung.corpora.items()]
    corpora += options.corpora
    # Packs are made where mixtures are drawn anew, and the key of stage 3 does not say which.
    mixing = conf.training.dynamic_mixing
    data = hash_value([ladder.recipe, corpora, conf.section(*DATA_SECTIONS), mixing])[:8]
    return Run(
        ladder=ladder,
        rung=rung,
        seed=seed,
        data_jobs=max(1, options.n_jobs // min(options.parallel, MAX_PREPARED)),
        out=out,
        inputs=inputs,
        options=RecipeOptions(
            recipe=ladder.recipe,
            tag=f"{rung.name}-seed{seed}",
            corpora=corpora,
            data=out / "data" / data,
            exp=out / "exp",
            overrides=[*given, *format_overrides(derived)],
            n_jobs=max(1, options.n_jobs // options.parallel),
            device=options.device,
            scheduler=options.scheduler,
            slurm=options.slurm,
        ),
    )


def find_inputs(ladder: Ladder, inputs: Path | None) -> Path:
    """The folder that a ladder's relative paths are relative to: by default that of its file."""
    return (inputs or ladder.path.parent).expanduser().resolve()


def _place(text: str, inputs: Path) -> Path:
    return inputs / Path(text).expanduser()


def _resolve_paths(changes: dict[str, Value]) -> dict[str, Value]:
    """Weights to begin with are given relative to the repository, and loaded by the full path."""
    start = changes.get("training.init_from")
    if isinstance(start, str) and start and (ROOT / start).is_file():
        return changes | {"training.init_from": str(ROOT / start)}
    return changes


def _check(run: Run) -> None:
    """What would only be found after hours.

    Raises:
        UserError: names the rung and what is wrong.
    """
    where = f"{run.ladder.path}: rung {run.rung.name}"
    for name, text in run.find_tests().items():
        if text.startswith(SPLIT):
            split = text.removeprefix(SPLIT)
            if split not in run.experiment.splits:
                known = ", ".join(run.experiment.splits)
                raise UserError(f"{where}: tests: {name}: {text}: the recipe has {known}.")
        elif not Path(text).is_file():
            raise MissingInputError(
                f"{text}: no such table, which is test set {name} of {run.ladder.path}; make it, "
                "or say with --inputs where it lies."
            )
    for name, root in run.experiment.roots.given.items():
        if not root.is_dir():
            raise MissingInputError(f"{where}: --corpus {name}={root}: no such folder.")
