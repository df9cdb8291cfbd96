"""Small corpora in the real layouts, made on the spot."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]


def make_voice(seed: int, pitch_hz: float, duration_s: float, rate: int) -> np.ndarray:
    """A buzzing harmonic tone with syllables: enough like a voice to be mixed and separated."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * rate)) / rate
    pitch = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time + generator.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    harmonics = [np.sin(k * phase) / k for k in range(1, 12)]
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time + generator.uniform(0, 6))
    return (0.2 * syllables * np.sum(harmonics, axis=0)).astype(np.float32)


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers of twelve recordings each, at 16 kHz and 8 kHz, as WAV and FLAC."""
    folder = tmp_path_factory.mktemp("speech")
    for number in range(6):
        speaker = folder / f"spk{number}_{'FM'[number % 2]}"
        speaker.mkdir()
        rate, suffix = ((16000, "wav"), (8000, "flac"))[number % 2]
        for item in range(12):
            voice = make_voice(100 * number + item, 90 + 35 * number, 1.6 + 0.1 * item, rate)
            soundfile.write(speaker / f"say{item}.{suffix}", voice, rate)
    return folder


@pytest.fixture
def call():
    """Run a command of the repository; returns the finished process, output together."""

    def run(*command: str, **kwargs) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(part) for part in command],
            **{"cwd": ROOT, "text": True, "timeout": 600} | kwargs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes a minute and tests what other tests see most of."""
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: bash tests/run.sh -n 2 --long"))
