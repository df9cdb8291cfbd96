"""One recipe with its options: the questions that stages, reports and tools ask of it.

Light imports only, so that a driver with nothing to do answers at once.
"""

from dataclasses import dataclass
from functools import cached_property

from separation.config.schema import Conf
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.inputs import Inputs, Origin, find_origin, hold_noise
from separation.experiment.roots import CorpusRoots
from separation.options import LOCAL, Cluster


@dataclass(kw_only=True)
class Experiment:
    """One recipe with the options of one call.

    Attributes:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        conf: the resolved config.
        data: tables and packed audio of this kind of mixtures.
        folder: the experiment's own.
        roots: of the corpora.
        n_jobs: processes.
        device: ``auto``, ``cpu`` or ``cuda``.
        cluster: where jobs of data and scores run.
        overridden: keys of the config, ``section.key``, that the call itself sets.
        given: the other options of the call that this experiment depends on, as words of a command
            line: corpora, folders, the device and what is overridden.
    """

    recipe: str
    conf: Conf
    data: DataFolder
    folder: ExperimentFolder
    roots: CorpusRoots
    n_jobs: int = 2
    device: str = "auto"
    cluster: Cluster = LOCAL
    overridden: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def list_options(self) -> list[str]:
        """The options of a command line that opens this very experiment."""
        tag, variant = self.folder.tag, self.recipe.split("/")[2:]
        tagged = [] if tag in ("default", *variant) else ["--tag", tag]
        return ["--recipe", self.recipe, *tagged, *self.given]

    @property
    def origin(self) -> Origin:
        """Where the mixtures come from: ``existing`` audio, ``published`` lists, or ``drawn``."""
        return find_origin(self.conf, self.roots.given)

    @property
    def noisy(self) -> bool:
        """Whether the mixtures hold a corpus's noise; audio that exists has its own."""
        return hold_noise(self.conf, self.origin)

    @cached_property
    def inputs(self) -> Inputs:
        """The recordings and lists that the first stages read."""
        return Inputs(conf=self.conf, origin=self.origin, roots=self.roots, noisy=self.noisy)

    def refresh_inputs(self) -> None:
        """After a download: look again at what is there."""
        self.__dict__.pop("inputs", None)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of fixed mixtures that are validated and tested on."""
        if self.origin == "drawn":
            return self.conf.splits.fixed_splits()
        return ("dev", "test")

    @property
    def test_splits(self) -> tuple[str, ...]:
        return self.splits[1:]

    @property
    def has_train_list(self) -> bool:
        """Whether there is a fixed training list."""
        drawn = self.conf.metadata.rules == "librimix" or self.conf.mixtures.n_train > 0
        return self.origin != "drawn" or drawn

    @property
    def listed_splits(self) -> tuple[str, ...]:
        """Every split that has a mixture table."""
        return ("train", *self.splits) if self.has_train_list else self.splits

    @property
    def mixes_dynamically(self) -> bool:
        """Whether training draws new mixtures for every step."""
        return self.origin != "existing" and self.conf.training.dynamic_mixing

    @property
    def has_own_data(self) -> bool:
        """Whether this is a variant with training data of its own."""
        return self.data.path.name == self.recipe.split("/")[-1]

    @property
    def kind(self) -> str:
        """Which kind of mixtures of the data set dev and test are, such as ``drawn-2spk``.

        The name of the folder under data/MIX/, without that of a variant: its test sets are those
        of its recipe.
        """
        name = self.data.path.relative_to(self.data.shared).as_posix()
        if self.has_own_data:
            name = name.rpartition("/")[0]
        return "drawn-2spk" if name in (".", "") else name
