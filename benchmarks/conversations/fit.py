"""Learns separation/recordings/turns.npz: how voices are told apart, and who speaks when.

    .venv/bin/python -m benchmarks.conversations.fit --speech SPEECH --metadata METADATA

First a projection of embeddings (LDA) on the training speakers of the shipped model, then the
network of separation/recordings/turns.py on conversations of its training and development
speakers; the latter trained no separator, so that its outputs are as poor as on any stranger. The
49 speakers of the test set are neither. METADATA is the folder of the tables train.csv, dev.csv and
test.csv that the shipped model was trained and scored with. Separated conversations lie in --work.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.conversations.cases import Case, label_order, label_speech, separate_case
from benchmarks.conversations.draw import draw_conversation, draw_pairs
from benchmarks.conversations.speech import RATE, list_speakers, read_utterance
from separation.audio.resample import resample
from separation.files import write_whole
from separation.models.checkpoint.load import open_model
from separation.recordings.speech_networks import load_encoder
from separation.recordings.turns import (
    SWAP_OUTPUTS,
    SWAP_VOICES,
    WEIGHTS,
    Projection,
    TurnNetwork,
    find_voices,
    make_features,
)

N_DIRECTIONS, SHRINK = 64, 0.02
SPEECH_S = 40.0  # of each speaker
CROP, BATCH = 400, 16  # ticks, crops


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
            narrow = resample(resample(said, RATE, RATE // 2), RATE // 2, RATE)
            for signal in (said, narrow):
                starts = np.arange(0, max(1, len(signal) - 20000), RATE)
                found.append(encoder.embed(signal, starts))
                whose += [number] * len(starts)
        work.mkdir(parents=True, exist_ok=True)
        np.savez(kept, found=np.concatenate(found), whose=np.array(whose))
    with np.load(kept) as saved:
        return saved["found"], saved["whose"]


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


def make_examples(case: Case, project: Projection) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features and labels of one conversation, for several first guesses at its voices.

    Labels ``(t, 4)``: whether either voice speaks, whether the first output has the first voice,
    and how much that matters.
    """
    evidence, rate = case.evidence, case.stored.rate
    n_ticks = len(evidence.speech)
    heard = label_speech(case.sources, rate, n_ticks)
    lead = label_order(case.sources, case.stored, n_ticks)
    labels = np.concatenate(
        [heard, (lead > 0)[:, None], (np.abs(lead) * heard.all(axis=1))[:, None]], axis=1
    )
    points = project(evidence.mixture)
    middles = np.clip(np.round((evidence.starts_s + 0.8) / 0.1).astype(int), 0, n_ticks - 1)
    alone = heard[middles] & ~heard[middles][:, ::-1]
    true = np.stack([points[alone[:, k]].mean(axis=0) for k in range(2)])
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    examples = []
    for centres in (true, find_voices(points)):
        if (centres * true).sum() < (centres[::-1] * true).sum():
            centres = centres[::-1]
        features = make_features(evidence, project, centres)
        examples.append((features, labels.astype(np.float32)))
    return examples


def learn_turns(
    examples: list[tuple[np.ndarray, np.ndarray]], n_steps: int, seed: int
) -> TurnNetwork:
    """Train the network on crops of the examples, whichever voice or output is the first."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = TurnNetwork().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, n_steps)
    for step in range(n_steps):
        features, labels = draw_batch(examples, rng)
        logits = network(features)
        loss = measure_loss(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    return network.eval()


def measure_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of who speaks, and of the outputs' order where both do."""
    speaks = functional.binary_cross_entropy_with_logits(logits[..., :2], labels[..., :2])
    order = functional.binary_cross_entropy_with_logits(
        logits[..., 2], labels[..., 2], reduction="none"
    )
    weights = labels[..., 3]
    return speaks + (order * weights).sum() / weights.sum().clamp_min(1)


def draw_batch(
    examples: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of ``CROP`` ticks, with a little noise."""
    drawn = []
    for _ in range(BATCH):
        features, labels = examples[rng.integers(len(examples))]
        start = rng.integers(max(1, len(features) - CROP))
        features, labels = features[start : start + CROP], labels[start : start + CROP].copy()
        if rng.random() < 0.5:
            features = features[:, SWAP_VOICES]
            labels[:, :2], labels[:, 2] = labels[:, 1::-1], 1 - labels[:, 2]
        if rng.random() < 0.5:
            features = features[:, SWAP_OUTPUTS]
            labels[:, 2] = 1 - labels[:, 2]
        noise = 0.03 * rng.standard_normal(features.shape)
        drawn.append(((features + noise).astype(np.float32), labels))
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))


def save_turns(project: Projection, network: TurnNetwork, path: Path) -> None:
    """Everything as float16."""
    values = {"mean": project.mean, "matrix": project.matrix}
    values |= {name: value.numpy() for name, value in network.state_dict().items()}
    with write_whole(path) as partial, open(partial, "wb") as handle:
        np.savez_compressed(handle, **{k: v.astype(np.float16) for k, v in values.items()})


def make_cases(args: argparse.Namespace) -> list[Case]:
    """Conversations of development and training speakers, in turns."""
    model = open_model("shipped").model
    cases = []
    for seed, split in enumerate(("dev", "train")):
        speakers = list_speakers(args.speech, args.metadata, split)
        rng = np.random.default_rng([seed, 1])
        for k, pair in enumerate(draw_pairs(speakers, args.conversations // 2, rng)):
            conversation = draw_conversation(pair, np.random.default_rng([seed, 2, k]), (3, 4))
            cases.append(separate_case(conversation, model, args.work / f"{split}{k}"))
            print(cases[-1].stored.mixture.parent.name, *cases[-1].names, flush=True)
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("exp/conversations/fit"))
    parser.add_argument("--conversations", type=int, default=10)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    torch.set_num_threads(1)
    project = fit_projection(*embed_speakers(args.speech, args.metadata, args.work))
    examples = [part for case in make_cases(args) for part in make_examples(case, project)]
    save_turns(project, learn_turns(examples, args.steps, seed=0), WEIGHTS)


if __name__ == "__main__":
    main()
