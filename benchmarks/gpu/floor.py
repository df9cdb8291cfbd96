"""The bandwidth floor of a training step: the bytes that must be moved, counted from the config."""

from collections.abc import Iterator

from separation.models.architecture import ModelConf
from separation.models.conv_tasnet import ConvTasNetConf

PARAMETER_BYTES = 4  # parameters, gradients and Adam's moments stay float32
PARAMETER_PASSES = 11
ACTIVATION_PASSES = 5


def count_floor_bytes(
    conf: ModelConf, batch: int, n_samples: int, bytes_per_value: int, n_src: int = 2
) -> int:
    """Fewest bytes that one training step of a Conv-TasNet moves through device memory.

    The count is of the ordinary schedule, in which every tensor that a global norm, a matrix
    product or the loss needs whole is stored once, and everything else (PReLU, scaling by the
    norm, depthwise taps, masking) is fused into the reading of a stored tensor:

    * stored tensors of values: see :func:`list_stored`; each makes ``ACTIVATION_PASSES`` = 5
      passes: written and read once forward; backward the tensor is read once more, its gradient
      written once and read once. At ``bytes_per_value`` (4: float32, 2: bfloat16).
    * parameters, all float32, ``PARAMETER_PASSES`` = 11 passes: read forward, read backward,
      gradient written, gradient read for the clip, then Adam (Kingma and Ba 2015) reads parameter,
      gradient and both moments and writes parameter and both moments.

    Left out, so that the floor stays one: second passes for the sums inside a norm, cached
    bfloat16 copies of the weights, waveforms read by the loss, the optimiser's scalars.

    Args:
        conf: the model; ``ConvTasNet`` only.
        batch: mixtures in a step.
        n_samples: of a mixture.
        bytes_per_value: of an activation.
        n_src: number of speakers.

    Returns:
        bytes.
    """
    assert isinstance(conf, ConvTasNetConf), f"no floor is counted for {conf.name}"
    values = batch * sum(channels * length for _, channels, length in list_stored(
        conf, n_samples, n_src
    ))  # fmt: skip
    parameters = count_parameters(conf, n_src) * PARAMETER_BYTES
    return ACTIVATION_PASSES * values * bytes_per_value + PARAMETER_PASSES * parameters


def count_frames(conf: ConvTasNetConf, n_samples: int) -> int:
    """Encoder frames of ``n_samples``; the encoder does not pad."""
    return (n_samples - conf.kernel_size) // conf.stride + 1


def list_stored(conf: ConvTasNetConf, n_samples: int, n_src: int) -> Iterator[tuple[str, int, int]]:
    """Every stored tensor of one mixture as ``(name, channels, length)``.

    Of a block (Luo and Mesgarani 2019, Fig. 1c): what the two global norms wait for, and the sum
    that goes on to the next block (none after the last one). The skip sum is one tensor.
    """
    frames = count_frames(conf, n_samples)
    n_blocks = conf.n_blocks * conf.n_repeats
    yield "encoder output", conf.n_filters, frames
    yield "bottleneck", conf.bn_chan, frames
    yield "before the first norms", conf.hid_chan * n_blocks, frames
    yield "before the second norms", conf.hid_chan * n_blocks, frames
    yield "residual sums", conf.bn_chan * (n_blocks - 1 if conf.skip_chan else n_blocks), frames
    if conf.skip_chan:
        yield "skip sum", conf.skip_chan, frames
    yield "masks", n_src * conf.n_filters, frames
    yield "estimates", n_src, n_samples


def count_parameters(conf: ConvTasNetConf, n_src: int = 2) -> int:
    """Parameters of Asteroid's ``ConvTasNet``."""
    bn, hid, skip = conf.bn_chan, conf.hid_chan, conf.skip_chan
    filterbanks = 2 * conf.n_filters * conf.kernel_size
    bottleneck = 2 * conf.n_filters + conf.n_filters * bn + bn
    widen = bn * hid + hid + 1 + 2 * hid  # 1x1, PReLU, norm
    depthwise = hid * conf.conv_kernel_size + hid + 1 + 2 * hid
    narrow = hid * (bn + skip) + bn + skip
    masks = 1 + (skip or bn) * n_src * conf.n_filters + n_src * conf.n_filters
    blocks = conf.n_blocks * conf.n_repeats * (widen + depthwise + narrow)
    return filterbanks + bottleneck + blocks + masks
