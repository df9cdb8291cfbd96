"""Conversations of speakers that the shipped model never heard: each voice in one track?

    .venv/bin/python -m benchmarks.conversations.run --speech SPEECH --metadata METADATA

Forty conversations of two of the test speakers, every second one of two women or two men, through

- ``today``: the model's outputs in chunks, ordered by the chunks' overlap: ``--mode overlap``, and
  all that ``separate`` did until commit 6512e18;
- ``overlap-add``: Asteroid's LambdaOverlapAdd over the same model, windows of 4 s, hops of 2 s;
- ``ours``: ``separate`` as it is (``--mode auto``), whose model learns the voices first;
- ``unadapted``: the same with ``--adapt off``;
- ``oracle``: as that, where the model's outputs are the sources, in another order at each call.

Everything is kept in --work, so a call that is cut goes on. Writes
benchmarks/results/conversations.json.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.conversations.cases import CPU, Case, OracleEstimates, prepare_case
from benchmarks.conversations.draw import Conversation, draw_conversation, draw_pairs
from benchmarks.conversations.score import TrackScore, score_tracks
from benchmarks.conversations.speech import Speaker, add_speakers, list_speakers
from benchmarks.machine import find_commit
from separation.files import read_json, write_json
from separation.models.checkpoint.load import open_model
from separation.models.inference import Separator, match_level
from separation.models.precision import has_fast_bf16
from separation.recordings.activity import Blocks
from separation.recordings.arrangement import Arrangement, keep_outputs

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "conversations.json"
WAYS = ("today", "overlap-add", "ours", "unadapted", "oracle")
SEED = 40
BLOCK = 1 << 17


def draw_all(
    speakers: list[Speaker], n_conversations: int, first: int = 0
) -> Iterator[tuple[int, Conversation]]:
    """The conversations from the first on, with their numbers."""
    pairs = draw_pairs(speakers, n_conversations, np.random.default_rng(SEED))
    for number, pair in list(enumerate(pairs))[first:]:
        rng = np.random.default_rng([SEED, number])
        minutes = 3 + 7 * rng.random() ** 3  # long ones are rarer
        yield number, draw_conversation(pair, rng, (minutes, minutes))


def read_whole(tracks: Blocks, factors: np.ndarray) -> np.ndarray:
    """Tracks ``(n_src, time)`` at their level."""
    blocks = [block * factors[:, None] for _, block in tracks.read_blocks(BLOCK)]
    return np.concatenate(blocks, axis=1)


def overlap_add(model: torch.nn.Module, mixture: np.ndarray, rate: int) -> np.ndarray:
    """Asteroid's own way with a long file, ``(n_src, time)``.

    The model runs in the form for inference, whose outputs are its own, so that this ends sooner.
    """
    from asteroid.dsp.overlap_add import LambdaOverlapAdd

    separator = Separator(model, CPU, bf16=has_fast_bf16(CPU))

    def separate(frames: torch.Tensor) -> torch.Tensor:
        return torch.stack(separator.separate(list(frames.reshape(-1, frames.shape[-1]))))

    added = LambdaOverlapAdd(
        nnet=separate, n_src=2, window_size=4 * rate, hop_size=2 * rate, window="hann"
    )
    with torch.inference_mode():
        found = added(torch.from_numpy(mixture)[None, None])[0].numpy()
    return match_level(mixture, found[:, : len(mixture)])


def describe_score(
    score: TrackScore, arranged: Arrangement | None, seconds: float
) -> dict[str, Any]:
    """A row of the result."""
    row: dict[str, Any] = asdict(score) | {"throughout": score.is_throughout}
    if arranged is not None:
        suspected = set(arranged.suspected_s)
        near = [s for s in score.wrong_s if suspected & {s - 1.0, float(s), s + 1.0}]
        row |= {
            "way": arranged.way,
            "n_voices": arranged.count.n_voices if arranged.count else None,
            "adaptation": asdict(arranged.adaptation) if arranged.adaptation else None,
            "suspected": len(suspected) / max(1.0, seconds),
            "wrong_suspected": len(near) / max(1, len(score.wrong_s)),
        }
    return row


def score_case(
    case: Case, number: int, work: Path, model: torch.nn.Module, ways: Sequence[str]
) -> dict[str, Any]:
    """Scores of one conversation, of the ways that are asked for; kept in the folder."""
    row: dict[str, Any] = {
        "speakers": case.names,
        "same_sex": case.names[0][-1] == case.names[1][-1],
        "duration_s": round(case.sources.shape[1] / case.rate, 1),
        "overlapped": round(case.overlapped, 3),
        "ways": {},
    }
    for way in WAYS:
        kept = work / f"score-{way}.json"
        if way in ways and not kept.is_file():
            write_json(kept, score_way(way, case, number, work, model))
        if kept.is_file():
            row["ways"][way] = read_json(kept)
    return row


def score_way(
    way: str, case: Case, number: int, work: Path, model: torch.nn.Module
) -> dict[str, Any]:
    """One way's score of one conversation."""
    seconds = case.sources.shape[1] / case.rate
    if way == "overlap-add":
        tracks = overlap_add(model, case.mixture, case.rate)
        return describe_score(score_tracks(case.sources, tracks, case.rate), None, seconds)
    stored = case.store(way)
    if way == "today":
        stored.separate(model, CPU, way)
        outputs = keep_outputs(stored, None)
        tracks = read_whole(outputs.tracks, outputs.survey.factors)
        return describe_score(score_tracks(case.sources, tracks, case.rate), None, seconds)
    if way == "oracle":
        stored = OracleEstimates(
            **vars(stored), sources=case.sources, rng=np.random.default_rng([SEED, number])
        )
    arranged = case.arrange(stored, model, adapt=way == "ours")
    tracks = read_whole(arranged.tracks, arranged.survey.factors)
    return describe_score(score_tracks(case.sources, tracks, case.rate), arranged, seconds)


def count_runs(wrong_s: Sequence[Sequence[int]]) -> dict[str, int]:
    """How many wrong windows follow each other, and how often; a turn takes two seconds at least.

    >>> count_runs([[3, 4, 9], [5]])
    {'1': 2, '2': 1}
    """
    lengths: Counter[int] = Counter()
    for seconds in wrong_s:
        breaks = np.flatnonzero(np.diff(seconds) != 1) + 1
        lengths.update(len(run) for run in np.split(np.asarray(seconds), breaks) if len(run))
    return {str(length): lengths[length] for length in sorted(lengths)}


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the conversations, by way."""
    summary = {}
    for way in WAYS:
        scores = [row["ways"][way] for row in rows if way in row["ways"]]
        if not scores:
            continue
        summary[way] = {
            "conversations": len(scores),
            "throughout": sum(score["throughout"] for score in scores),
            "wrong": round(statistics.mean(score["wrong"] for score in scores), 4),
            "without_wrong": sum(score["wrong"] == 0 for score in scores),
            "si_sdr": round(float(np.mean([score["si_sdr"] for score in scores])), 2),
            "wrong_in_a_row": count_runs([score["wrong_s"] for score in scores]),
        }
        if "suspected" in scores[0]:
            wrong = [score for score in scores if score["wrong_s"]]
            summary[way] |= {
                "suspected": round(statistics.mean(s["suspected"] for s in scores), 3),
                "with_wrong": len(wrong),
                "half_of_them_suspected": sum(s["wrong_suspected"] >= 0.5 for s in wrong),
            }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--work", type=Path, default=ROOT / "exp" / "conversations" / "test")
    parser.add_argument("--conversations", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="number of the first conversation")
    parser.add_argument("--split", default="test")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help="none: separate")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = open_model("shipped").model
    speakers = list_speakers(args.speech, args.metadata, args.split)
    rows = []
    for number, conversation in draw_all(speakers, args.conversations, args.first):
        work = args.work / f"{number:02d}"
        case = prepare_case(conversation, int(model.sample_rate), work)
        rows.append(score_case(case, number, work, model, args.ways))
        print(number, *case.names, flush=True)
    if args.ways:
        result = {"commit": find_commit(), "summary": summarise(rows), "conversations": rows}
        write_json(RESULT, result)
        print(summarise(rows))


if __name__ == "__main__":
    main()
