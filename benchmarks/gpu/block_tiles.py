"""Triton's kernels of Conv-TasNet's blocks on a GPU: equal to the formulas, and timed by tile.

    python3 -m benchmarks.gpu.block_tiles

About a minute, at the size of the best configuration: batch 24 of 3 s, 512 channels, bfloat16. The
best tile of each kernel is what ``FRAMES, CHANNELS`` of ``models/fast/block_operations.py`` and
``WARPS`` of ``models/fast/block_kernels.py`` should be.
"""

from collections.abc import Callable

import torch

from benchmarks.gpu.timing import measure_repeats

BATCH, N_FRAMES, N_CHANNELS, DILATION, TAPS = 24, 2999, 512, 8, 3
TILES = (  # frames, channels, warps
    (64, 64, 4), (64, 64, 8), (64, 32, 4), (64, 128, 8), (32, 64, 2), (32, 64, 4), (32, 128, 4),
    (32, 256, 8), (16, 64, 2), (16, 128, 4), (16, 256, 4), (128, 32, 4), (128, 64, 8),
)  # fmt: skip
N_RUNS = 10


def make_calls() -> dict[str, Callable[[], object]]:
    """Each operation on noise, by its name and the activations that it reads and writes."""
    shape = (BATCH, N_FRAMES, N_CHANNELS)
    hidden, grad, mixed = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3)
    )
    bias, slope = torch.randn(N_CHANNELS, device="cuda"), torch.randn(1, device="cuda")
    weight = torch.randn(N_CHANNELS, 1, TAPS, device="cuda")
    scale, shift = (torch.randn(BATCH, N_CHANNELS, device="cuda") for _ in range(2))
    by_sum, by_square = torch.randn(BATCH, device="cuda"), 1e-6 * torch.randn(BATCH, device="cuda")
    place = (DILATION, DILATION)
    start, middle = (hidden, bias, slope), (grad, mixed, slope, by_sum, by_square)
    operations = torch.ops.separation
    return {
        "sum_active (1 read)": lambda: operations.sum_active(*start),
        "mix (1 read, 2 written)": lambda: operations.mix(
            *start, scale, shift, weight, bias, slope, *place
        ),
        "differentiate_end (3 read, 1 written)": lambda: operations.differentiate_end(
            *middle, *start, TAPS, *place
        ),
        "differentiate_start (2 read, 1 written)": lambda: operations.differentiate_start(
            *start, grad, weight, scale, by_sum, by_sum, *place
        ),
    }


def main() -> None:
    from separation.models.fast import block_kernels, block_operations
    from tests.models.test_block_kernels import compare

    uses_kernels = block_operations.uses_kernels
    compare("cuda")
    block_operations.uses_kernels = uses_kernels
    print("the kernels equal the formulas on", torch.cuda.get_device_name())
    tensor_ms = BATCH * N_FRAMES * N_CHANNELS * 2 / 3e9
    print(f"one activation at 3 TB/s: {tensor_ms:.3f} ms")
    device, calls, best = torch.device("cuda"), make_calls(), {}
    for frames, channels, warps in TILES:
        block_operations.FRAMES, block_operations.CHANNELS = frames, channels
        block_kernels.WARPS = warps
        for name, call in calls.items():
            try:
                found_ms = 1000 * measure_repeats(call, N_RUNS, 1, 2, device)[0]
            except RuntimeError as error:  # a tile that does not fit the card
                print(f"{name}, {frames} x {channels}, {warps} warps: {error}"[:160])
                continue
            if found_ms < best.get(name, (float("inf"),))[0]:
                best[name] = (found_ms, frames, channels, warps)
    for name, (found_ms, frames, channels, warps) in best.items():
        print(f"{name}: {found_ms:.3f} ms with {frames} frames, {channels} channels, {warps} warps")


if __name__ == "__main__":
    main()
