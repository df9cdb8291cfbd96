"""Where the packed samples lie while a device mixes: on the device, or mapped from the disk."""

import logging
from typing import Protocol

import numpy as np
import torch

from separation.corpora.pack import PackedAudio
from separation.errors import UserError

logger = logging.getLogger(__name__)

COPY_SAMPLES = 1 << 25  # a copy at a time, 64 MiB, so that filling a store needs little memory
LEAVE_FREE = 0.6  # of the free memory: the model and its activations need most of it


class SampleStore(Protocol):
    """16-bit samples, addressed by their place in all packs laid end to end."""

    is_on_device: bool

    def gather(self, firsts: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
        """Fill int16 ``out`` with pieces, one after the other; only where the store is here."""

    def look_up(self, places: torch.Tensor) -> torch.Tensor:
        """The int16 samples at int64 ``places``; only where the store is on the device."""


class DeviceStore:
    """All samples in one flat int16 tensor on the device."""

    is_on_device = True

    def __init__(self, packs: list[PackedAudio], device: torch.device) -> None:
        n_samples = sum(pack.n_samples for pack in packs)
        self.samples = torch.empty(n_samples, dtype=torch.int16, device=device)
        filled = 0
        for piece in _list_speakers(packs):
            for start in range(0, len(piece), COPY_SAMPLES):
                chunk = torch.from_numpy(piece[start : start + COPY_SAMPLES].copy())
                self.samples[filled : filled + len(chunk)].copy_(chunk)
                filled += len(chunk)

    def gather(self, firsts: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError("the samples are on the device")

    def look_up(self, places: torch.Tensor) -> torch.Tensor:
        return self.samples[places]


class HostStore:
    """The mapped files themselves; a batch's pieces are copied together on the host.

    The operating system keeps in memory what it has room for, so this also serves corpora
    larger than the memory.
    """

    is_on_device = False

    def __init__(self, packs: list[PackedAudio]) -> None:
        self._speakers = _list_speakers(packs)
        self._firsts = np.cumsum([0, *map(len, self._speakers)])[:-1]

    def gather(self, firsts: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
        speakers = np.searchsorted(self._firsts, firsts, side="right") - 1
        starts = firsts - self._firsts[speakers]
        filled = 0
        for speaker, start, length in zip(
            speakers.tolist(), starts.tolist(), lengths.tolist(), strict=True
        ):
            out[filled : filled + length] = self._speakers[speaker][start : start + length]
            filled += length

    def look_up(self, places: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("the samples are on the host")


def _list_speakers(packs: list[PackedAudio]) -> list[np.ndarray]:
    return [pack.samples_of(k) for pack in packs for k in range(len(pack.speakers))]


def choose_store(
    packs: list[PackedAudio],
    device: torch.device,
    keep: str = "auto",
    leave_free: float = LEAVE_FREE,
    free_bytes: int | None = None,
) -> SampleStore:
    """Put the samples on the device where they fit, else leave them mapped.

    Args:
        packs: speech, and noise where there is some.
        device: that mixes.
        keep: ``auto``, ``device`` or ``host``. On a CPU ``auto`` is ``host``: nothing to move.
        leave_free: share of the device's free memory that must stay free.
        free_bytes: of the device; None: asked of CUDA.

    Raises:
        UserError: ``device`` is asked for and the samples do not fit.
    """
    if keep == "host" or (keep == "auto" and device.type != "cuda"):
        return HostStore(packs)
    if free_bytes is None and device.type == "cuda":
        free_bytes = torch.cuda.mem_get_info(device)[0]
    wanted = 2 * sum(pack.n_samples for pack in packs)
    if free_bytes is not None and wanted > (1 - leave_free) * free_bytes:
        room = f"{wanted / 1e9:.2f} GB of packed audio, {free_bytes / 1e9:.2f} GB free on {device}"
        if keep == "device":
            raise UserError(
                f"{room}, of which {leave_free:.0%} must stay free: keep the samples on the host."
            )
        logger.info("%s: the samples stay on the host", room)
        return HostStore(packs)
    logger.info("copying %.2f GB of packed audio to %s", wanted / 1e9, device)
    return DeviceStore(packs, device)
