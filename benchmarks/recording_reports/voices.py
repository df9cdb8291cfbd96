"""Track sets whose swaps, merges, leaks and failures are known, and what the page suspects in them.

    .venv/bin/python -m benchmarks.recording_reports.voices --speech DIR --metadata DIR --work DIR

Each conversation of two gives the tracks that ``separate`` makes with the shipped model, and one
planted case: sources with an eighth of the model's errors, and in them nothing wrong, a swap, a
merge, a leak, or hardly anything separated. Writes a file a conversation into WORK/MODE/SPLIT,
which ``measure`` reads; in ``--mode auto`` without the planted ones, since they are those of
``overlap``. ``--mode learned``: the tracks of the conversations that ``conversations.run`` left in
a folder, by turns and with the voices learned first, as ``separate`` is.
"""

import argparse
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.conversations.cases import Case, prepare_case
from benchmarks.conversations.draw import Conversation, draw_conversation, draw_pairs
from benchmarks.conversations.run import draw_all, read_whole
from benchmarks.conversations.speech import RATE, add_speakers, list_speakers
from separation.audio.resample import resample
from separation.files import write_whole
from separation.models.checkpoint.load import open_model
from separation.models.inference import fit_length
from separation.recordings.arrangement import Arrangement
from separation.recordings.evidence import detect_speech
from separation.recordings.report.streams import describe_streams
from separation.recordings.speech_networks import INSTALL, TICK_S, load_detector, load_encoder
from separation.recordings.turns import load_turns
from separation.recordings.waveform import separate_waveform

PLANTED = ("clean", "swap", "merge", "leak", "alike")
# minutes: from 20 s of speech on by turns; those of "learned" are drawn by conversations.run
MODES = {"overlap": (0.33, 0.42), "auto": (0.6, 0.8), "learned": (3.0, 10.0)}
N_LEARNED = 40
ERRORS = 0.125  # share of the model's output in planted cases
SEED = 20
TICK = round(TICK_S * RATE)


def align(estimates: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Estimates in the sources' order, each at the level that fits its source."""
    products = estimates @ sources.T
    sizes = np.square(estimates).sum(axis=1, keepdims=True) * np.square(sources).sum(axis=1)
    fits = products**2 / np.maximum(sizes, 1e-12)
    order = [0, 1] if fits[0, 0] + fits[1, 1] >= fits[0, 1] + fits[1, 0] else [1, 0]
    chosen = estimates[order]
    gains = (chosen * sources).sum(axis=1) / np.maximum(np.square(chosen).sum(axis=1), 1e-12)
    return chosen * gains[:, None]


def plant(kind: str, tracks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tracks ``(2, time)`` in which something is wrong."""
    n_samples = tracks.shape[1]
    start = round(n_samples * rng.uniform(0.3, 0.6))
    tracks = tracks.copy()
    if kind == "swap":
        tracks[:, start:] = tracks[::-1, start:]
    elif kind == "merge":
        tracks = np.stack([tracks.sum(axis=0), 0.02 * tracks[1]])
    elif kind == "leak":
        part = slice(start, min(n_samples, start + round(rng.uniform(6, 9) * RATE)))
        gain = 10 ** (-rng.uniform(6, 15) / 20)
        tracks[0, part] += gain * tracks[1, part]
    elif kind == "alike":
        mixture = tracks.sum(axis=0)
        tracks = 0.5 * mixture + 0.2 * tracks
    return tracks


def describe_truth(tracks: np.ndarray, sources: np.ndarray) -> dict[str, Any]:
    """How much of each source each track has in each tick, and how loud the source is."""
    n_ticks = -(-tracks.shape[1] // TICK)
    signals = np.pad(
        np.concatenate([tracks, sources]).astype(np.float64),
        ((0, 0), (0, n_ticks * TICK - tracks.shape[1])),
    )
    framed = signals.reshape(4, n_ticks, TICK).transpose(1, 0, 2)
    window = np.ones(5)
    gram = np.apply_along_axis(np.convolve, 0, framed @ framed.transpose(0, 2, 1), window, "same")
    energy = np.maximum(np.stack([gram[:, 2, 2], gram[:, 3, 3]], axis=1), 1e-12)
    return {"share": gram[:, :2, 2:] ** 2 / energy[:, None] ** 2, "energy": energy}


def measure_gain(
    tracks: np.ndarray,
    sources: np.ndarray,
    *,
    mixture: np.ndarray | None = None,
    only: int | None = None,
) -> float:
    """SI-SDRi in dB where both speak, mean of the sources (or of one), best order.

    Args:
        tracks, sources: ``(2, time)``.
        mixture: where it is more than the sources' sum.
        only: number of the one source.
    """
    active = np.convolve(np.abs(sources).min(axis=0) > 1e-4, np.ones(1600), "same") > 0
    if active.sum() < RATE:
        return float("nan")
    own, part = tracks[:, active], sources[:, active]
    whole = part.sum(axis=0) if mixture is None else mixture[active]
    gains = [
        [_si_sdr(own[k], source) - _si_sdr(whole, source) for k, source in enumerate(part)],
        [_si_sdr(own[1 - k], source) - _si_sdr(whole, source) for k, source in enumerate(part)],
    ]
    best = max(gains, key=sum)
    return round(float(np.mean(best) if only is None else best[only]), 2)


def _si_sdr(estimate: np.ndarray, source: np.ndarray) -> float:
    target = (estimate @ source) / max(float(source @ source), 1e-12) * source
    rest = float(np.square(estimate - target).sum())
    return 10 * np.log10(float(np.square(target).sum()) / max(rest, 1e-12) + 1e-12)


def make_overlap_cases(
    conversation: Conversation, rng: np.random.Generator, planted: str, model: Any, work: Path
) -> list[dict[str, Any]]:
    """The model's outputs of a conversation as they are, and a planted case."""
    sources, mixture = conversation.sources, conversation.mixture
    estimates = separate_waveform(model, mixture, RATE, torch.device("cpu"), "conversation")
    blend = (1 - ERRORS) * sources + ERRORS * align(estimates, sources)
    wide = work / "wide.f32"
    mixture.astype(np.float32).tofile(wide)
    detector = load_detector()
    assert detector, INSTALL
    speech = detect_speech(wide, len(mixture), detector)
    return [
        describe_case(kind, tracks, speech, conversation)
        for kind, tracks in (("real", estimates), (planted, plant(planted, blend, rng)))
    ]


def make_auto_case(conversation: Conversation, model: Any, work: Path) -> dict[str, Any]:
    """The tracks that ``--mode auto`` makes of a conversation."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        case = prepare_case(conversation, int(model.sample_rate), Path(folder))
        return describe_arranged(case, case.arrange(case.store("auto"), model), conversation)


def make_learned_case(conversation: Conversation, model: Any, folder: Path) -> dict[str, Any]:
    """The tracks that ``separate`` makes of a conversation, its voices learned first."""
    case = prepare_case(conversation, int(model.sample_rate), folder)
    return describe_arranged(
        case, case.arrange(case.store("ours"), model, adapt=True), conversation
    )


def describe_arranged(
    case: Case, arranged: Arrangement, conversation: Conversation
) -> dict[str, Any]:
    """A case of such tracks."""
    tracks = read_whole(arranged.tracks, arranged.survey.factors)
    wide = fit_length(resample(tracks, case.rate, RATE), conversation.sources.shape[1])
    described = describe_case("real", wide, case.evidence.speech, conversation)
    return described | {"way": arranged.way, "unsure_s": arranged.suspected_s}


def describe_case(
    kind: str, tracks: np.ndarray, speech: np.ndarray, conversation: Conversation
) -> dict[str, Any]:
    """What the page sees of two tracks, and what is true."""
    encoder, sources = load_encoder(), conversation.sources
    assert encoder, INSTALL
    tracks = np.asarray(tracks, np.float32)
    project = load_turns().project
    streams = describe_streams(conversation.mixture, list(tracks), speech, encoder, project)
    return {
        "kind": kind,
        "speakers": list(conversation.names),
        "streams": streams,
        "si_sdri": measure_gain(tracks, sources),
        **describe_truth(tracks, sources),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=72)
    parser.add_argument("--mode", choices=MODES, default="overlap")
    parser.add_argument("--conversations", type=Path, help="of --mode learned: run's --work")
    args = parser.parse_args()
    if (args.mode == "learned") != (args.conversations is not None):
        parser.error("--mode learned and --conversations DIR belong together")
    torch.set_num_threads(1)
    folder = args.work / args.mode / args.split
    folder.mkdir(parents=True, exist_ok=True)
    model = open_model("shipped").model
    speakers = list_speakers(args.speech, args.metadata, args.split)
    if args.mode == "learned":
        for number, conversation in draw_all(speakers, N_LEARNED):
            place = folder / f"{number:03d}.pkl"
            if number < args.count and not place.is_file():
                kept = args.conversations / f"{number:02d}"
                write_case(place, [make_learned_case(conversation, model, kept)])
        return
    for number in range(args.count):
        place = folder / f"{number:03d}.pkl"
        rng = np.random.default_rng([SEED, number])
        pair = draw_pairs(speakers, 1 + number % 2, rng)[-1]
        if not place.is_file():
            planted = PLANTED[number % len(PLANTED)]
            conversation = draw_conversation(pair, rng, MODES[args.mode])
            if args.mode == "auto":
                write_case(place, [make_auto_case(conversation, model, folder)])
            else:
                write_case(place, make_overlap_cases(conversation, rng, planted, model, folder))


def write_case(place: Path, cases: list[dict[str, Any]]) -> None:
    """What ``measure`` reads."""
    with write_whole(place) as partial:
        partial.write_bytes(pickle.dumps(cases))
    print(place, flush=True)


if __name__ == "__main__":
    main()
