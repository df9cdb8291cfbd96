"""What a rung gave with one seed: a JSON file, from which table and plot are made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from separation.errors import UserError
from separation.evaluation.intervals import MeanInterval, mean_interval, speaker_interval
from separation.evaluation.score_rows import ScoreRow
from separation.files import read_json, write_json

METRIC = "si_sdri"


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """SI-SDRi on one test set, mixture by mixture.

    Attributes:
        fingerprint: of the table; mixtures of equal fingerprints are the same, in the same order.
        values: dB, one a mixture.
        speakers: of each mixture.
    """

    fingerprint: str
    values: tuple[float, ...]
    speakers: tuple[tuple[str, ...], ...]

    def as_rows(self) -> list[ScoreRow]:
        """As score rows, which intervals are made from."""
        return [
            ScoreRow(mixture_id=str(number), speakers=names, values={METRIC: value})
            for number, (value, names) in enumerate(zip(self.values, self.speakers, strict=True))
        ]

    def by_mixtures(self) -> MeanInterval:
        """Mean and interval over other mixtures of these speakers."""
        return mean_interval(self.values)

    def by_speakers(self) -> MeanInterval:
        """Mean and interval over other speakers, which is the wider."""
        return speaker_interval(self.as_rows(), METRIC)

    def as_record(self) -> dict[str, Any]:
        """As JSON holds it: figures for readers, and the mixtures on one line each."""
        return {
            "fingerprint": self.fingerprint,
            "n_mixtures": len(self.values),
            "si_sdri_by_mixtures": self.by_mixtures().as_dict(),
            "si_sdri_by_speakers": self.by_speakers().as_dict(),
            "values": " ".join(f"{value:.4f}" for value in self.values),
            "speakers": " ".join("+".join(names) for names in self.speakers),
        }


def parse_scores(record: dict[str, Any]) -> TestScores:
    """What :meth:`TestScores.as_record` wrote."""
    return TestScores(
        fingerprint=record["fingerprint"],
        values=tuple(map(float, record["values"].split())),
        speakers=tuple(tuple(text.split("+")) for text in record["speakers"].split()),
    )


@dataclass(frozen=True, kw_only=True)
class RungResult:
    """A rung trained and scored with one seed.

    Attributes:
        ladder, rung, label, before, seed, recipe, overrides, key: how it was set; see
            :mod:`separation.ablate.plan`.
        commit, device, versions: what produced it.
        steps: of the training.
        batch_size: mixtures of a step.
        minutes: of training, validation too.
        audio_s_per_s: seconds of mixtures that a second of training took in, at its end.
        hours: of mixtures that were trained on.
        mixtures: that were trained on.
        distinct_mixtures: of these, those that differ.
        utterances: of the training speakers.
        speakers: that train.
        speech_hours: of the utterances.
        parameters: of the model.
        sample_rate: Hz.
        field_s: receptive field in seconds; None where it has no end.
        train_si_sdr: mean over the last epoch, dB.
        dev_si_sdr, dev_si_sdri: of the epoch whose weights were kept, dB.
        tests: by the name of the test set.
    """

    ladder: str
    rung: str
    label: str
    before: str
    seed: int
    recipe: str
    overrides: Sequence[str]
    key: str
    commit: str
    device: str
    versions: dict[str, str]
    steps: int
    batch_size: int
    minutes: float
    audio_s_per_s: float
    hours: float
    mixtures: int
    distinct_mixtures: int
    utterances: int
    speakers: int
    speech_hours: float
    parameters: int
    sample_rate: int
    field_s: float | None
    train_si_sdr: float
    dev_si_sdr: float
    dev_si_sdri: float
    tests: dict[str, TestScores]


def write_result(path: Path, result: RungResult) -> None:
    """Write a result, whole or not at all."""
    tests = {name: scores.as_record() for name, scores in result.tests.items()}
    write_json(path, asdict(result) | {"tests": tests, "test_order": list(tests)})


def read_results(folder: Path) -> list[RungResult]:
    """The results in a folder, sorted by file name.

    Raises:
        UserError: a file is no result.
    """
    return [_read_result(path) for path in sorted(folder.glob("*.json"))]


def _read_result(path: Path) -> RungResult:
    record = read_json(path)
    try:
        kept = {own.name: record[own.name] for own in fields(RungResult)}
        kept["tests"] = {name: parse_scores(record["tests"][name]) for name in record["test_order"]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no result of ablate ({error}); move it elsewhere.") from error
    return RungResult(**kept)
