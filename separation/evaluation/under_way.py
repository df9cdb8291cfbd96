"""Which mixture a scoring run was at, so that one that it died of does not stop every later run."""

import json
from collections.abc import Iterable
from pathlib import Path

from separation.files import read_json

MOST_DEATHS = 4  # of whole processes at one mixture: kills from outside seldom meet it so often


class UnderWay:
    """A note beside a journal of the mixtures that are being separated, in case of a kill.

    Nobody knows whether a mixture or something else ended a process that was killed. So a mixture
    that was under way comes last from then on, one that was so again and again is left out of one
    call, and the next call tries it once more.

    Args:
        path: of the note; there is none while nothing is under way and nothing has died.

    Attributes:
        deaths: how many earlier processes ended while they separated a mixture, by its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        note = read_json(path)
        note = note if isinstance(note, dict) else {}
        self.deaths: dict[str, int] = dict(note.get("deaths", {}))
        for name in note.get("under_way", ()):
            self.deaths[name] = self.deaths.get(name, 0) + 1

    def begin(self, names: Iterable[str]) -> None:
        """These mixtures are next; a kill of the process does not take back what is written."""
        note = {"deaths": self.deaths, "under_way": list(names)}
        self.path.write_text(json.dumps(note), encoding="utf-8")

    def end(self, finished: Iterable[str]) -> None:
        """Nothing is under way; what was finished has not died, the rest is tried again."""
        done, most = set(finished), MOST_DEATHS - 1
        self.deaths = {name: min(n, most) for name, n in self.deaths.items() if name not in done}
        if self.deaths:
            self.begin([])
        else:
            self.path.unlink(missing_ok=True)

    def explain_left_out(self, name: str) -> str:
        """Why a mixture is not tried in this call; empty where it is."""
        if self.deaths.get(name, 0) < MOST_DEATHS:
            return ""
        return f"{self.describe_deaths(name)}; this call left it out, the next one tries it again"

    def describe_deaths(self, name: str) -> str:
        """How often it was under way when a process was killed, and what may be the cause."""
        n = self.deaths[name]
        runs = f"{n} runs were" if n > 1 else "a run was"
        return f"{runs} killed while it was separated, perhaps for lack of memory"
