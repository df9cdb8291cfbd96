"""The language of a recording, which its owner says, beside those that the model was trained on."""

from pathlib import Path

from separation.corpora.plugin import list_names, read_info
from separation.models import shipped
from separation.models.published import find_by_name
from separation.yaml_files import read_yaml

PUBLISHED = ("en",)  # all of conf/published_models.yml are of LibriMix or WHAM


def find_trained_on(model: str) -> tuple[str, ...]:
    """Codes of the languages that a model was trained on; none where that is not known.

    Args:
        model: as NAME.json names it: the shipped one, a published one, an experiment folder.
    """
    if model.partition(",")[0] == shipped.NAME:
        return shipped.LANGUAGES
    if find_by_name(model.partition("@")[0]):
        return PUBLISHED
    conf = Path(model) / "conf.yml"
    return _read_languages(conf) if conf.is_file() else ()


def _read_languages(conf: Path) -> tuple[str, ...]:
    """Those of the corpus of an experiment, and of what its training began with."""
    config = read_yaml(conf)
    source = config.get("corpus", {}).get("source")
    own = read_info(source).language if source in list_names() else ""
    began_with = config.get("training", {}).get("init_from")
    before = shipped.LANGUAGES if began_with == shipped.NAME else ()
    return tuple(sorted({own, *before})) if own else ()


def is_heard(spoken: str, trained_on: tuple[str, ...]) -> bool:
    """Whether a language is one of those, whatever its country or script.

    >>> is_heard("en-GB", ("en",)), is_heard("es", ("en",))
    (True, False)
    """
    return spoken.partition("-")[0] in {code.partition("-")[0] for code in trained_on}
