"""Names of the forms a mixture comes in, as LibriMix's trees have them."""

MODES = ("min", "max")  # cut to the shortest source, or zero-padded to the longest
TYPES = ("mix_clean", "mix_both", "mix_single")  # without noise, with it, one speaker with it
# Where the mixtures of a folder of audio lie; of several the first is taken.
MIX_FOLDERS = ("mix_clean", "mix", "mix_both", "mix_single")
