"""What a model was trained on, for its card: data set, corpora, licences, language."""

from typing import Any

from separation.corpora.plugin import CorpusInfo, list_names, read_info
from separation.experiment.folder import RunRecord
from separation.models import shipped


def name_dataset(conf: dict[str, Any], run: RunRecord) -> str:
    """What the mixtures are called: ``Libri2Mix``, ``WSJ0-2mix`` ..., or the recipe's name."""
    mix, n_src = run["recipe"].split("/")[0], conf["mixtures"]["n_src"]
    if conf["corpus"]["source"] == "speech":
        return "own-recordings"
    for name in list_names():
        mixtures = read_info(name).mixtures
        if mixtures and mix in (name, f"{name}mix"):
            return mixtures.format(n_src=n_src)
    return mix


def list_corpora(conf: dict[str, Any]) -> list[CorpusInfo]:
    """The corpora of speech and noise that a model was trained on."""
    names = [conf["corpus"]["source"]]
    if conf["mixtures"]["task"] == "sep_noisy":
        names.append(conf["corpus"]["noise"])
    return [read_info(name) for name in names]


def list_notices(conf: dict[str, Any]) -> list[dict[str, Any]]:
    """Licence notices of the corpora, with the keys of asteroid.data's, which its publisher reads.

    Recordings of one's own have none.
    """
    return [
        {
            "title": info.title,
            "title_link": info.homepage,
            "author": info.author,
            "author_link": info.author_link,
            "license": info.licence.name,
            "license_link": info.licence.link,
            "non_commercial": info.licence.non_commercial,
        }
        for info in list_corpora(conf)
        if info.licence
    ] + [_describe_notice(corpus) for corpus in list_corpora_before(conf)]


def list_corpora_before(conf: dict[str, Any]) -> tuple[shipped.Corpus, ...]:
    """What the shipped weights were trained on, where the training began with them."""
    return shipped.TRAINED_ON if conf["training"]["init_from"] == shipped.NAME else ()


def _describe_notice(corpus: shipped.Corpus) -> dict[str, Any]:
    return {
        "title": corpus.title,
        "title_link": corpus.homepage,
        "author": corpus.author,
        "author_link": corpus.homepage,
        "license": corpus.licence,
        "license_link": corpus.licence_link,
        "non_commercial": False,
    }


def describe_corpora(conf: dict[str, Any]) -> str:
    """One line on where the speech and noise come from, as Markdown."""
    trained = "; ".join(_describe_corpus(info) for info in list_corpora(conf))
    before = " and ".join(
        f"[{own.title}]({own.homepage}) by {own.author}, [{own.licence}]({own.licence_link})"
        for own in list_corpora_before(conf)
    )
    return f"{trained}; before it, the shipped weights: {before}" if before else trained


def _describe_corpus(info: CorpusInfo) -> str:
    """Title and licence; of a corpus of many licences where they are listed."""
    if not info.homepage:  # recordings of one's own
        return info.title
    title, licence = f"[{info.title}]({info.homepage})", info.licence
    if licence is None:
        return f"{title}, voices and licences listed in {info.readme}"
    terms = ", no commercial use" if licence.non_commercial else ""
    return f"{title} by {info.author}, [{licence.name}]({licence.link}){terms}"


def find_language(conf: dict[str, Any]) -> str:
    """The corpus's language as the Hub writes it; empty where it is several, or not known."""
    return next((info.language for info in list_corpora(conf) if info.kind == "speech"), "")
