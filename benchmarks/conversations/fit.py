"""Learns separation/recordings/turns.npz: how voices are told apart, who speaks when, and the order
of a model's outputs.

    .venv/bin/python -m benchmarks.conversations.fit --speech SPEECH --metadata METADATA

First a projection of embeddings (LDA) on the training speakers of the shipped model. Then the
network of separation/recordings/turns.py, on recordings of training speakers: conversations, one
voice, two at once. Last the weights by which a stretch's outputs are ordered, on conversations of
development and training speakers through the shipped model; the former trained no separator, so its
outputs are as poor as on any stranger. The 49 speakers of the test set are in none of it. METADATA
is the folder of the tables train.csv, dev.csv and test.csv that the shipped model was trained and
scored with. What was listened to lies in --work.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.conversations.cases import CPU, Case, label_speech, prepare_case
from benchmarks.conversations.draw import Conversation, draw_conversation, draw_pairs
from benchmarks.conversations.recordings import draw_one, draw_overlapped
from benchmarks.conversations.speech import (
    RATE,
    Speaker,
    add_speakers,
    list_speakers,
    read_utterance,
)
from separation.audio.resample import resample
from separation.files import write_whole
from separation.models.checkpoint.load import open_model
from separation.recordings.chunks import StoredEstimates
from separation.recordings.speech_networks import TICK_S, load_encoder
from separation.recordings.stretches import (
    N_CUES,
    OrderCues,
    cut_parts,
    find_stretches,
    order_outputs,
    scale_estimates,
)
from separation.recordings.turns import (
    BOTH,
    FIRST,
    NEITHER,
    SECOND,
    SWAP_STATES,
    WEIGHTS,
    Projection,
    TurnNetwork,
    average_before,
    choose_points,
    compare_voices,
    describe_ticks,
    find_turns,
    find_voices,
    load_turns,
    swap_voices,
)

N_DIRECTIONS, SHRINK = 64, 0.02
SPEECH_S = 40.0  # of each speaker
EITHER = 4  # a label: one voice speaks, whichever it is called
SWAP_LABELS = np.array([*SWAP_STATES, EITHER])
SPLITS = {"train": 1, "dev": 2}  # seeds


@dataclass(frozen=True, kw_only=True)
class Round:
    """Some steps of learning.

    Attributes:
        n_conversations: that are looked at.
        shares: of crops of conversations, of one voice, of two at once.
        steps, rate: how many, and the largest learning rate.
        crop, batch: ticks of a crop, and how many.
        rising: share of the steps in which the learning rate rises.
        seed: of crops and noise.
    """

    n_conversations: int
    shares: tuple[float, float, float]
    steps: int
    rate: float
    crop: int
    batch: int
    rising: float
    seed: int


ROUNDS = (
    Round(
        n_conversations=24,
        shares=(1.0, 0.0, 0.0),
        steps=400,
        rate=4e-3,
        crop=400,
        batch=16,
        rising=0.3,
        seed=0,
    ),
    Round(
        n_conversations=78,
        shares=(0.72, 0.16, 0.12),
        steps=450,
        rate=3e-3,
        crop=256,
        batch=24,
        rising=0.15,
        seed=5,
    ),
)
COUNTS = {"conv": 78, "one": 40, "overlapped": 16}


@dataclass(frozen=True, kw_only=True)
class Example:
    """What the network learns from, of a recording of ``t`` ticks.

    Attributes:
        common: ``(t, N_COMMON)``.
        likeness: for several guesses at the voices' centres, ``(t, N_LIKENESS)`` each.
        labels: ``(t,)``, states, or ``EITHER``.
    """

    common: np.ndarray
    likeness: list[np.ndarray]
    labels: np.ndarray


def embed_speakers(speech: Path, metadata: Path, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings ``(n, 256)`` of training speakers, and whose they are.

    Half are of the speech as it is, half of what is left of it at 8 kHz.
    """
    kept = work / "speakers.npz"
    if not kept.is_file():
        encoder = load_encoder()
        assert encoder, "pip install --no-deps -r requirements-voices.txt"
        found, whose = [], []
        for number, speaker in enumerate(list_speakers(speech, metadata, "train")):
            said = np.concatenate([read_utterance(path) for path in speaker.paths[:12]])
            said = said[: round(SPEECH_S * RATE)]
            for signal in (said, narrow_band(said)):
                starts = np.arange(0, max(1, len(signal) - 20000), RATE)
                found.append(encoder.embed(signal, starts))
                whose += [number] * len(starts)
        work.mkdir(parents=True, exist_ok=True)
        np.savez(kept, found=np.concatenate(found), whose=np.array(whose))
    with np.load(kept) as saved:
        return saved["found"], saved["whose"]


def narrow_band(signal: np.ndarray) -> np.ndarray:
    """What is left of a signal at 8 kHz."""
    return resample(resample(signal, RATE, RATE // 2), RATE // 2, RATE)


def fit_projection(embeddings: np.ndarray, whose: np.ndarray) -> Projection:
    """Linear discriminant analysis with a within-speaker covariance that is shrunk."""
    mean = embeddings.mean(axis=0)
    within, between = np.zeros((256, 256)), np.zeros((256, 256))
    for k in np.unique(whose):
        group = embeddings[whose == k]
        centre = group.mean(axis=0)
        within += (group - centre).T @ (group - centre) / len(embeddings)
        between += len(group) * np.outer(centre - mean, centre - mean) / len(embeddings)
    within += SHRINK * np.trace(within) / 256 * np.eye(256)
    whitening = np.linalg.inv(np.linalg.cholesky(within))
    values, vectors = np.linalg.eigh(whitening @ between @ whitening.T)
    chosen = vectors[:, np.argsort(values)[::-1][:N_DIRECTIONS]]
    scale = np.sqrt(np.sort(values)[::-1][:N_DIRECTIONS])  # weak directions count less
    matrix = whitening.T @ chosen * np.minimum(scale, 1)
    return Projection(mean=mean.astype(np.float32), matrix=matrix.astype(np.float32))


def draw_cases(
    speakers: list[Speaker], split: str, kind: str, count: int
) -> Iterator[tuple[str, Conversation]]:
    """Recordings of a split's speakers, the same at every call; every third is of narrow band."""
    place = SPLITS[split]
    pairs = draw_pairs(speakers, 200, np.random.default_rng([7, place]))
    order = np.random.default_rng([11, place]).permutation(len(speakers))
    minutes = (2.5, 3.5) if split == "dev" else (1.5, 2.5)
    for k in range(count):
        if kind == "conv":
            drawn = draw_conversation(pairs[k], np.random.default_rng([8, place, k]), minutes)
        elif kind == "one":
            number = int(order[k % len(order)])
            drawn = draw_one(speakers, np.random.default_rng([10, place, k]), number)
        else:
            drawn = draw_overlapped(speakers, np.random.default_rng([9, place, 3, k]), k)
        yield f"{split}-{kind}{k:03d}", drawn


def prepare_cases(args: argparse.Namespace, split: str, kind: str, count: int) -> Iterator[Case]:
    """Recordings that were listened to; of the training speakers every third is of narrow band."""
    speakers = list_speakers(args.speech, args.metadata, split)
    for k, (name, conversation) in enumerate(draw_cases(speakers, split, kind, count)):
        narrow = split == "train" and k % 3 == 2
        yield prepare_case(conversation, RATE // 2, args.work / name, is_narrow=narrow)


def find_true_centres(points: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Centres of the ticks in which a speaker was long heard alone, ``(2, n)``."""
    found = []
    for k in range(2):
        alone = heard[:, k] & (heard.sum(axis=1) == 1)
        long = average_before(alone) > 0.9
        mean = points[long if long.sum() >= 5 else alone].mean(axis=0)
        found.append(mean / np.linalg.norm(mean))
    return np.stack(found)


def make_example(case: Case, project: Projection) -> Example:
    """Features and labels of a recording of one or two speakers."""
    evidence = case.evidence
    heard = label_speech(case.sources, case.rate, len(evidence.speech))
    points = project(evidence.embeddings.astype(np.float32))
    chosen = choose_points(evidence, points)
    labels = np.where(heard.all(axis=1), BOTH, np.where(heard.any(axis=1), EITHER, NEITHER))
    centres = [find_voices(chosen, seed=seed) for seed in (0, 1)]
    if heard.shape[1] == 1:
        labels = np.where(heard[:, 0], EITHER, NEITHER)
    elif case.overlapped < 1:
        labels = heard[:, 0] * FIRST + heard[:, 1] * SECOND
        true = find_true_centres(points, heard)
        crossed = (centres[0] * true).sum() < (centres[0][::-1] * true).sum()
        centres = [true, centres[0][:: -1 if crossed else 1]]
    return Example(
        common=describe_ticks(evidence),
        likeness=[compare_voices(points, guess) for guess in centres],
        labels=labels,
    )


def learn_turns(pools: list[list[Example]], rounds: tuple[Round, ...] = ROUNDS) -> TurnNetwork:
    """Train the network on crops, whichever voice is called the first.

    Args:
        pools: conversations, one voice, two at once.
        rounds: one after the other.
    """
    torch.manual_seed(0)
    network = TurnNetwork().train()
    for part in rounds:
        torch.manual_seed(part.seed)
        rng = np.random.default_rng(part.seed)
        optimizer = torch.optim.AdamW(network.parameters(), lr=part.rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, part.rate, part.steps, pct_start=part.rising
        )
        chosen = [pools[0][: part.n_conversations], *pools[1:]]
        for step in range(part.steps):
            common, likeness, labels = draw_batch(chosen, part, rng)
            loss = measure_loss(network(common, likeness), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 49:
                print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    return network.eval()


def measure_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of states, of which ``EITHER`` is two; -1 is not counted."""
    states = logits.log_softmax(dim=-1)
    either = torch.logaddexp(states[..., FIRST], states[..., SECOND])
    states = torch.cat([states, either[..., None]], dim=-1)
    return functional.nll_loss(states.flatten(0, 1), labels.flatten(), ignore_index=-1)


def draw_batch(
    pools: list[list[Example]], part: Round, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops with a little noise, and other colours of the room."""
    drawn = []
    for _ in range(part.batch):
        pool = pools[int(np.searchsorted(np.cumsum(part.shares), rng.random() - 1e-9))]
        example = pool[rng.integers(len(pool))]
        likeness = example.likeness[rng.integers(len(example.likeness))]
        start = rng.integers(max(1, len(example.labels) - part.crop))
        crop = slice(start, start + part.crop)
        common, likeness, labels = example.common[crop], likeness[crop], example.labels[crop]
        if rng.random() < 0.5:
            likeness, labels = swap_voices(likeness), SWAP_LABELS[labels]
        common = common + 0.1 * rng.standard_normal(common.shape)
        common = common + 0.15 * rng.standard_normal((1, common.shape[1]))
        likeness = likeness + 0.05 * rng.standard_normal(likeness.shape)
        missing = ((0, part.crop - len(labels)), (0, 0))
        drawn.append(
            (
                np.pad(common.astype(np.float32), missing),
                np.pad(likeness.astype(np.float32), missing),
                np.pad(labels, missing[0], constant_values=-1),
            )
        )
    common, likeness, labels = (torch.from_numpy(np.stack(x)) for x in zip(*drawn, strict=True))
    return common, likeness, labels


def measure_order(case: Case, model: nn.Module) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cues ``(n, N_CUES)`` of a conversation's stretches, whether straight, and what that matters.

    The network and the projection are those of ``turns.npz``.
    """
    encoder, project = load_encoder(), load_turns().project
    assert encoder
    turns = find_turns(case.evidence)
    heard = label_speech(case.sources, case.rate, len(case.evidence.speech))
    spoken = turns.voices > 0.5
    crossed = (spoken == heard).mean() < (spoken[:, ::-1] == heard).mean()
    sources = case.sources[:: -1 if crossed else 1]
    stretches = find_stretches(turns)
    cues = OrderCues(
        stretches=stretches,
        turns=turns,
        encoder=encoder,
        project=project,
        points=project(case.evidence.embeddings.astype(np.float32)),
        rate=case.rate,
    )
    stored = case.store("order")
    stored.state.unlink(missing_ok=True)
    parts = cut_parts(stretches, stored.n_samples, case.rate)
    found = stored.separate_parts(model, CPU, case.folder.name, parts, cues)
    truth = [compare_orders(sources, stored, start, stop) for start, stop in stretches]
    shares = [heard[start:stop].all(axis=1).mean() for start, stop in stretches]
    lengths = [(stop - start) / 10 for start, stop in stretches]
    lead = np.array(truth)
    weights = np.minimum(np.abs(lead) * np.minimum(1, 2 * np.array(shares)) * lengths, 2)
    return found.reshape(-1, N_CUES), lead > 0, weights


def compare_orders(sources: np.ndarray, stored: StoredEstimates, start: int, stop: int) -> float:
    """Log of how much more the outputs of some ticks err crossed than straight."""
    tick = round(TICK_S * stored.rate)
    mixture = stored.read_mixture(start * tick, (stop - start) * tick)
    estimates = stored.read_estimates(start * tick, len(mixture))
    scaled = scale_estimates(mixture, estimates, slice(None))
    truth = sources[:, start * tick : start * tick + len(mixture)]
    errors = [np.square(truth - scaled[::step]).sum() for step in (1, -1)]
    return float(np.log(errors[1] / errors[0]))


def fit_order(cues: np.ndarray, straight: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logistic regression without a constant, ``(N_CUES,)``, by Newton's method."""
    found = np.zeros(N_CUES)
    for _ in range(30):
        likely = order_outputs(cues, found)
        slope = cues.T @ (weights * (likely - straight)) + found
        curve = (cues * (weights * likely * (1 - likely))[:, None]).T @ cues + np.eye(N_CUES)
        found -= np.linalg.solve(curve, slope)
    return found


def save_turns(project: Projection, network: TurnNetwork, order: np.ndarray, path: Path) -> None:
    """Everything as float16."""
    values = {"mean": project.mean, "matrix": project.matrix, "order": order}
    values |= {name: value.numpy() for name, value in network.state_dict().items()}
    with write_whole(path) as partial, open(partial, "wb") as handle:
        np.savez_compressed(handle, **{k: v.astype(np.float16) for k, v in values.items()})
    load_turns.cache_clear()


def learn_order(args: argparse.Namespace) -> np.ndarray:
    """The weights of the cues, from conversations of development and training speakers."""
    model = open_model("shipped").model
    measured = []
    for split in SPLITS:
        for case in prepare_cases(args, split, "conv", args.ordered):
            measured.append(measure_order(case, model))
            print(case.folder.name, *case.names, flush=True)
    return fit_order(*(np.concatenate(part) for part in zip(*measured, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_speakers(parser)
    parser.add_argument("--work", type=Path, default=Path("exp/conversations/fit"))
    parser.add_argument("--ordered", type=int, default=20, help="conversations of each split")
    parser.add_argument("--only-order", action="store_true", help="the rest is in turns.npz")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only_order:
        project, network = load_turns().project, load_turns().network
    else:
        project = fit_projection(*embed_speakers(args.speech, args.metadata, args.work))
        pools = [
            [make_example(case, project) for case in prepare_cases(args, "train", kind, count)]
            for kind, count in COUNTS.items()
        ]
        network = learn_turns(pools)
        save_turns(project, network, np.zeros(N_CUES), WEIGHTS)
    save_turns(project, network, learn_order(args), WEIGHTS)


if __name__ == "__main__":
    main()
