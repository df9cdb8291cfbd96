"""What a model was trained on, for its card: data set, corpora, licences, language."""

from typing import Any

# The keys are those of asteroid.data's licence notices, which its publisher reads.
CORPORA: dict[str, dict[str, Any]] = {
    "librispeech": {
        "title": "LibriSpeech ASR corpus",
        "title_link": "https://www.openslr.org/12",
        "author": "Vassil Panayotov",
        "author_link": "https://github.com/vdp",
        "license": "CC BY 4.0",
        "license_link": "https://creativecommons.org/licenses/by/4.0/",
        "non_commercial": False,
    },
    "wham": {
        "title": "The WSJ0 Hipster Ambient Mixtures noises",
        "title_link": "http://wham.whisper.ai/",
        "author": "Whisper.ai",
        "author_link": "http://whisper.ai/",
        "license": "CC BY-NC 4.0",
        "license_link": "https://creativecommons.org/licenses/by-nc/4.0/",
        "non_commercial": True,
    },
    "aishell3": {
        "title": "AISHELL-3",
        "title_link": "https://www.openslr.org/93/",
        "author": "Beijing Shell Shell Technology",
        "author_link": "http://www.aishelltech.com/",
        "license": "Apache-2.0",
        "license_link": "https://www.apache.org/licenses/LICENSE-2.0",
        "non_commercial": False,
    },
    "wsj0": {
        "title": "CSR-I (WSJ0) Complete, LDC93S6A",
        "title_link": "https://catalog.ldc.upenn.edu/LDC93S6A",
        "author": "LDC",
        "author_link": "https://www.ldc.upenn.edu/",
        "license": "LDC User Agreement",
        "license_link": "https://www.ldc.upenn.edu/data-management/using/licensing",
        "non_commercial": True,
    },
}
LANGUAGES = {"librispeech": "en", "wsj0": "en", "aishell3": "zh"}
OWN = "recordings of one's own"


def name_dataset(conf: dict[str, Any], run: dict[str, Any]) -> str:
    """What the mixtures are called: ``Libri2Mix``, ``WSJ0-2mix`` ..., or the recipe's name."""
    mix, n_src = run["recipe"].split("/")[0], conf["mixtures"]["n_src"]
    if conf["corpus"]["source"] == "speech":
        return "own-recordings"
    known = {
        "librimix": f"Libri{n_src}Mix",
        "wsj0mix": f"WSJ0-{n_src}mix",
        "aishell3mix": "AISHELL-3-mix",
    }
    return known.get(mix, mix)


def list_corpora(conf: dict[str, Any]) -> list[dict[str, Any]]:
    """Licence notices of the corpora that are known; recordings of one's own have none."""
    names = [conf["corpus"]["source"]]
    if conf["mixtures"]["task"] == "sep_noisy":
        names.append(conf["corpus"]["noise"])
    return [CORPORA[name] for name in names if name in CORPORA]


def describe_corpora(conf: dict[str, Any], run: dict[str, Any]) -> str:
    """One line on where the speech and noise come from, as Markdown."""
    notices = [
        f"[{c['title']}]({c['title_link']}) by {c['author']}, "
        f"[{c['license']}]({c['license_link']})" + (", no commercial use" * c["non_commercial"])
        for c in list_corpora(conf)
    ]
    if conf["corpus"]["source"] == "speech":
        return "; ".join([OWN, *notices])
    mix = run["recipe"].split("/")[0]
    return "; ".join(notices) or f"voices and licences listed in egs/{mix}/README.md"


def tell_language(conf: dict[str, Any]) -> str:
    """The corpus's language as the Hub writes it; empty where it is several, or not known."""
    return LANGUAGES.get(conf["corpus"]["source"], "")
