"""What a card says of the corpora: titles, licences, language, and what the mixtures are called."""

import pytest

from separation.config.load import load_conf
from separation.publish.corpora import (
    describe_corpora,
    find_language,
    list_notices,
    name_dataset,
)
from tests.conftest import ROOT

LIBRISPEECH = (
    "[LibriSpeech ASR corpus](https://www.openslr.org/12) by Vassil Panayotov, "
    "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)"
)
WHAM = (
    "[The WSJ0 Hipster Ambient Mixtures noises](http://wham.whisper.ai/) by Whisper.ai, "
    "[CC BY-NC 4.0](https://creativecommons.org/licenses/by-nc/4.0/), no commercial use"
)
WSJ0 = (
    "[CSR-I (WSJ0) Complete, LDC93S6A](https://catalog.ldc.upenn.edu/LDC93S6A) by LDC, "
    "[LDC User Agreement](https://www.ldc.upenn.edu/data-management/using/licensing), "
    "no commercial use"
)
AISHELL3 = (
    "[AISHELL-3](https://www.openslr.org/93/) by Beijing Shell Shell Technology, "
    "[Apache-2.0](https://www.apache.org/licenses/LICENSE-2.0)"
)
PROMPTS = (
    "[voice prompts of Debian packages](https://packages.debian.org/), voices and licences listed "
    "in egs/mini/README.md"
)
BEFORE = (
    "before it, the shipped weights: [speechocean762](https://www.openslr.org/101) by Junbo Zhang "
    "et al., [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/) and "
    "[LibriSpeech](https://www.openslr.org/12) by Vassil Panayotov et al., "
    "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)"
)
OWN_NOISE = ["mixtures.task=sep_noisy", "corpus.noise=noise"]


@pytest.mark.parametrize(
    ("recipe", "sets", "dataset", "language", "described"),
    [
        ("librimix/ConvTasNet", [], "Libri2Mix", "en", LIBRISPEECH),
        (
            "librimix/ConvTasNet",
            ["mixtures.task=sep_noisy", "mixtures.n_src=3"],
            "Libri3Mix",
            "en",
            f"{LIBRISPEECH}; {WHAM}",
        ),
        ("mini/ConvTasNet/from_scratch", [], "mini", "", PROMPTS),
        ("mini/ConvTasNet", [], "mini", "", f"{PROMPTS}; {BEFORE}"),
        ("mini/ConvTasNet/from_scratch", OWN_NOISE, "mini", "", f"{PROMPTS}; noise of one's own"),
        ("folder/ConvTasNet", [], "own-recordings", "", "recordings of one's own"),
        ("wsj0mix/ConvTasNet", ["mixtures.n_src=3"], "WSJ0-3mix", "en", WSJ0),
        ("aishell3mix/ConvTasNet", [], "AISHELL-3-mix", "zh", AISHELL3),
    ],
)
def test_corpora_of_recipes(recipe, sets, dataset, language, described):
    conf = load_conf(ROOT, recipe, sets).as_dict()
    assert name_dataset(conf, {"recipe": recipe}) == dataset
    assert find_language(conf) == language
    assert describe_corpora(conf) == described
    assert all(notice["license_link"] for notice in list_notices(conf))
    assert len(list_notices(conf)) == describe_corpora(conf).count(" by ")
