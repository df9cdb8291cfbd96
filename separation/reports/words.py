"""Words of the reports in the language that is asked for."""

from typing import Literal

from separation.evaluation.headline import FEW_SPEAKERS, Headline
from separation.reports.chinese import CHINESE
from separation.reports.english import ENGLISH

Language = Literal["en", "zh"]
CATALOGUES: dict[str, dict[str, str]] = {"en": ENGLISH, "zh": CHINESE}


class Words:
    """Sentences and labels of one language, by their keys.

    Args:
        language: ``en`` or ``zh``.
    """

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._catalogue = CATALOGUES[language]

    def say(self, key: str, **values: object) -> str:
        """The words of a key, with values in their places.

        >>> Words().say("seconds", value="4.2"), Words("zh").say("seconds", value="4.2")
        ('4.2 s', '4.2 秒')
        """
        return self._catalogue[key].format(**values)

    def knows(self, key: str) -> bool:
        """Whether the catalogues have a key."""
        return key in self._catalogue

    def describe_drawn(self, headline: Headline, where: str = "drawn") -> str:
        """What an interval draws, and so speaks for, in a sentence.

        Args:
            where: ``drawn``, or ``card`` for a shorter one.
        """
        counts = {"mixtures": headline.n_mixtures, "speakers": headline.n_speakers}
        if not headline.draws_speakers:
            return self.say(f"{where}.mixtures", **counts)
        if headline.interval.low is None:
            return self.say(f"{where}.nothing", **counts)
        few = headline.n_speakers < FEW_SPEAKERS
        return self.say(f"{where}.few" if few else f"{where}.speakers", **counts)

    def format_range(self, headline: Headline) -> str:
        """``95 %: 1.72 to 2.12 dB``; words where there is no interval."""
        low, high = headline.interval.low, headline.interval.high
        if low is None or high is None:
            return self.say("range.none")
        return self.say("range", low=f"{low:.2f}", high=f"{high:.2f}")
