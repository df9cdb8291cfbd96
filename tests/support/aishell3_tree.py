"""A small corpus in AISHELL-3's real layout: no top folder, 44.1 kHz, everybody in both splits."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 44100
PITCH_HZ = {"F": (500, 900), "M": (100, 180)}  # so far apart that little training separates them
REAL_CONTENT = (
    "SSB00050001.wav\t广 guang3 州 zhou1 女 nv3 大 da4 学 xue2 生 sheng1 登 deng1 山 shan1 "
    "失 shi1 联 lian2 四 si4 天 tian1 警 jing3 方 fang1 找 zhao3 到 dao4 疑 yi2 似 si4 "
    "女 nv3 尸 shi1"
)


def make_speech(seed: int, sex: str, duration_s: float) -> np.ndarray:
    """A buzzing tone with syllables, high for women and low for men."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * RATE)) / RATE
    pitch_hz = generator.uniform(*PITCH_HZ[sex])
    pitch = pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 0.7 * time + generator.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 4))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 3 * time + generator.uniform(0, 6))
    return (0.2 * syllables * tone).astype(np.float32)


def write_tree(folder: Path, n_women: int = 10, n_men: int = 10, n_each: int = 6) -> list[Path]:
    """Write the corpus; every third utterance of everybody is in the official test split.

    Returns:
        all WAV files, sorted.
    """
    lines = ["# speaker\tage group\tgender\taccent"]
    contents: dict[str, list[str]] = {"train": [], "test": []}
    paths = []
    for number in range(n_women + n_men):
        sex = "F" if number < n_women else "M"
        name = f"SSB{7 * number + 5:04d}"
        gender = {"F": "female", "M": "male"}[sex]
        lines.append(f"{name}\t{'BCD'[number % 3]}\t{gender}\t{'north' if number % 3 else 'south'}")
        for item in range(1, n_each + 1):
            subset = "train" if item % 3 else "test"
            path = folder / subset / "wav" / name / f"{name}{item:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = make_speech(1000 * number + item, sex, 1.7 + 0.25 * item)
            soundfile.write(path, samples, RATE, "PCM_16")
            contents[subset].append(f"{path.name}\t你 ni3 好 hao3 {item} yi1")
            paths.append(path)
    (folder / "spk-info.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for subset, own in contents.items():
        (folder / subset / "content.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
    return sorted(paths)
