"""An experiment opened from its folder alone: config, recipe, and the data folder that it used."""

import json
from collections.abc import Iterator
from pathlib import Path

from separation.config.load import build_conf, load_conf
from separation.config.schema import Conf
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.inputs import Origin
from separation.experiment.open import name_data
from separation.experiment.roots import CorpusRoots
from separation.files import hash_text_file
from separation.mixtures.table import read_first_audio
from separation.options import DATA, EXP


def open_finished(path: Path, data: Path = ROOT / "data") -> Experiment:
    """An experiment by its folder, ``exp/MIX/MODEL/TAG``.

    Args:
        path: the folder.
        data: holds the data folders; the one whose mixture tables the experiment used is taken.

    Raises:
        MissingInputError: it holds no experiment.
    """
    folder = ExperimentFolder(path.expanduser().resolve())
    if not folder.conf.is_file():
        raise MissingInputError(
            f"{path}: holds no conf.yml of an experiment; name a folder exp/MIX/MODEL/TAG, or a "
            "recipe with --recipe MIX/MODEL."
        )
    conf, run = build_conf(folder.read_conf()), folder.read_run()
    recipe = run["recipe"] if run else "/".join(folder.path.parts[-3:-1])
    shared = data.expanduser().resolve() / recipe.split("/")[0]
    used = find_data(shared, run["fingerprints"] if run else {}) or shared / _guess(conf)
    given = {"mixtures": used} if _holds_audio(used) else {}
    return Experiment(
        recipe=recipe,
        conf=conf,
        data=DataFolder(used, shared=shared),
        folder=folder,
        roots=CorpusRoots(given=given, shared=shared.parent / "corpora", data=used),
        given=tuple(_list_given(recipe, conf, folder.path.parents[2], shared.parent)),
    )


def _list_given(recipe: str, conf: Conf, exp: Path, data: Path) -> Iterator[str]:
    """Options that open it again: the keys that are not the recipe's, and its folders.

    Where recordings of one's own lie is not kept: ``DIR`` stands for that.
    """
    if conf.corpus.source == "speech":
        yield from ("--corpus", "speech=DIR")
    for option, path, usual in (("--data", data, DATA), ("--exp", exp, EXP)):
        if path != usual:
            yield from (option, str(path))
    try:
        usual_values = load_conf(ROOT, recipe, []).as_dict()
    except UserError:  # the recipe is not there any more
        return
    for section, values in conf.as_dict().items():
        for key, value in values.items():
            if usual_values[section].get(key, value) != value:
                yield from ("--set", f"{section}.{key}={json.dumps(value)}")


def find_data(shared: Path, fingerprints: dict[str, str]) -> Path | None:
    """The data folder below ``data/MIX`` whose mixture tables have these fingerprints.

    Of several the one that has most of them; none that has another table of that name.
    """
    n_same = {
        table.parents[1]: _count_same(table.parent, fingerprints)
        for table in sorted(shared.glob("**/metadata/dev.csv"))
    }
    best = max(n_same, key=lambda path: n_same[path], default=None)
    return best if best is not None and n_same[best] > 0 else None


def _count_same(folder: Path, fingerprints: dict[str, str]) -> int:
    """Tables that are those of the experiment; 0 where one is another."""
    tables = {split: folder / f"{split}.csv" for split in fingerprints}
    there = {split: hash_text_file(path) for split, path in tables.items() if path.is_file()}
    return len(there) if all(fingerprints[split] == own for split, own in there.items()) else 0


def _guess(conf: Conf) -> str:
    """Where the data lie unless they are audio that exists."""
    origin: Origin = "drawn" if conf.metadata.draw else "published"
    return name_data(conf, origin)


def _holds_audio(data: Path) -> bool:
    """Whether the mixture tables name audio of mixtures, not recordings to be mixed."""
    table = data / "metadata" / "dev.csv"
    return table.is_file() and bool(read_first_audio(table))
