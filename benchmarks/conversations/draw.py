"""Conversations of real speech: who takes turns with whom, when, and the signals of it."""

from dataclasses import dataclass

import numpy as np

from benchmarks.conversations.speech import RATE, Speaker, Talker

TURN_S, PAUSE_S = (2.0, 6.0), (0.2, 5.0)
OVERLAPPED = (0.2, 0.5)  # share of the speech
SHORTEST_OVERLAP_S = 0.5
PAUSES = 0.2  # share of the turns that come after a pause whatever the overlap is


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One speaker's turn.

    Attributes:
        speaker: its number in the conversation.
        start, stop: in samples at 16 kHz.
    """

    speaker: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Speakers, turns and signals.

    Attributes:
        names: of the speakers.
        turns: in order of their starts.
        sources: float32 ``(n_speakers, time)`` at 16 kHz.
        overlapped: share of the time with speech in which several speak.
    """

    names: tuple[str, ...]
    turns: tuple[Turn, ...]
    sources: np.ndarray
    overlapped: float

    @property
    def mixture(self) -> np.ndarray:
        """``(time,)``."""
        return self.sources.sum(axis=0)


def draw_turns(
    rng: np.random.Generator, n_speakers: int, duration_s: float, overlapped: float
) -> tuple[Turn, ...]:
    """Turns one after the other, which overlap until their share of the speech is reached.

    Args:
        rng: draws it all.
        n_speakers: who take turns; never twice the same in a row.
        duration_s: until the last turn ends.
        overlapped: the share.
    """
    turns: list[Turn] = []
    ends = np.zeros(n_speakers)
    end, speaker, speech, both = float(rng.uniform(0, 2)), 0, 0.0, 0.0
    while end < duration_s:
        length = float(rng.uniform(*TURN_S))
        start = end
        if turns and both < overlapped * speech and rng.random() > PAUSES:
            longest = 0.9 * min(length, end - turns[-1].start / RATE)
            start = max(end - rng.uniform(SHORTEST_OVERLAP_S, longest), ends[speaker] + 0.1)
        elif turns:
            start = end + rng.uniform(*PAUSE_S) * rng.random()
        stop = min(start + length, duration_s)
        if stop - start < SHORTEST_OVERLAP_S:
            break
        both += max(0.0, min(end, stop) - start)
        speech += stop - max(start, end if turns else start)
        turns.append(Turn(speaker=speaker, start=round(start * RATE), stop=round(stop * RATE)))
        ends[speaker], end = stop, max(end, stop)
        others = [k for k in range(n_speakers) if k != speaker]
        speaker = int(rng.choice(others)) if others else speaker
    return tuple(turns)


def draw_conversation(
    speakers: list[Speaker], rng: np.random.Generator, minutes: tuple[float, float] = (3, 10)
) -> Conversation:
    """One conversation of these speakers.

    Args:
        speakers: who talk.
        rng: draws length, overlap, turns and words.
        minutes: shortest and longest.
    """
    duration_s = 60 * rng.uniform(*minutes)
    share = rng.uniform(*OVERLAPPED) if len(speakers) > 1 else 0.0
    turns = draw_turns(rng, len(speakers), duration_s, share)
    talkers = [Talker(speaker, rng) for speaker in speakers]
    sources = np.zeros((len(speakers), round(duration_s * RATE)), np.float32)
    active = np.zeros_like(sources, bool)
    for turn in turns:
        said = talkers[turn.speaker].say(turn.stop - turn.start)
        sources[turn.speaker, turn.start : turn.stop] += said
        active[turn.speaker, turn.start : turn.stop] = True
    n_speak = active.sum(axis=0)
    return Conversation(
        names=tuple(speaker.name for speaker in speakers),
        turns=turns,
        sources=sources,
        overlapped=float((n_speak > 1).sum() / max(1, (n_speak > 0).sum())),
    )


def draw_pairs(
    speakers: list[Speaker], n_pairs: int, rng: np.random.Generator, n_utterances: int = 10
) -> list[list[Speaker]]:
    """Pairs of speakers with enough to say, every second one of two women or two men."""
    talkers = [speaker for speaker in speakers if len(speaker.paths) >= n_utterances]
    pairs: list[list[Speaker]] = []
    while len(pairs) < n_pairs:
        first, second = (talkers[int(k)] for k in rng.choice(len(talkers), 2, replace=False))
        if (first.sex == second.sex) == (len(pairs) % 2 == 0):
            pairs.append([first, second])
    return pairs
