"""The bandwidth floor of a training step: the bytes that must be moved, counted from the config."""

from separation.models.conv_tasnet import ConvTasNetConf

PARAMETER_BYTES = 4  # parameters, gradients and Adam's moments stay float32
PARAMETER_PASSES = (
    11  # read twice, gradient written and read for the clip, Adam's 4 reads, 3 writes
)
ACTIVATION_PASSES = 5  # written and read forward; read, gradient written and read backward


def count_floor_bytes(
    conf: ConvTasNetConf, n_parameters: int, batch: int, n_samples: int, bytes_per_value: int
) -> int:
    """Fewest bytes that one training step of a Conv-TasNet moves through device memory.

    The count is of the ordinary schedule, in which every tensor that a global norm, a matrix
    product or the loss needs whole is stored once, and everything else (PReLU, scaling by the
    norm, depthwise taps, masking) is fused into the reading of a stored tensor. Left out, so that
    the floor stays one: second passes for the sums inside a norm, bfloat16 copies of the weights,
    waveforms read by the loss, the optimiser's scalars.

    Args:
        conf: the model, of two speakers.
        n_parameters: of it.
        batch: mixtures in a step.
        n_samples: of a mixture.
        bytes_per_value: of an activation; 4: float32, 2: bfloat16.
    """
    activations = ACTIVATION_PASSES * bytes_per_value * batch * count_stored(conf, n_samples)
    return activations + PARAMETER_PASSES * PARAMETER_BYTES * n_parameters


def count_stored(conf: ConvTasNetConf, n_samples: int, n_src: int = 2) -> int:
    """Values that are stored of one mixture.

    Of a block (Luo and Mesgarani 2019, Fig. 1c): what the two global norms wait for, and the sum
    that goes on to the next block (none after the last one). The skip sum is one tensor.
    """
    n_frames = (n_samples - conf.kernel_size) // conf.stride + 1  # the encoder does not pad
    n_blocks = conf.n_blocks * conf.n_repeats
    n_residuals = n_blocks - 1 if conf.skip_chan else n_blocks
    channels = {
        "encoder output": conf.n_filters,
        "bottleneck": conf.bn_chan,
        "before both norms": 2 * conf.hid_chan * n_blocks,
        "residual sums": conf.bn_chan * n_residuals,
        "skip sum": conf.skip_chan,
        "masks": n_src * conf.n_filters,
    }
    return n_frames * sum(channels.values()) + n_src * n_samples
