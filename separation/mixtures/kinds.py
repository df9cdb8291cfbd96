"""Names of the forms a mixture comes in, as LibriMix's trees have them."""

MODES = ("min", "max")  # cut to the shortest source, or zero-padded to the longest
TYPES = ("mix_clean", "mix_both", "mix_single")  # without noise, with it, one speaker with it
MIX_FOLDERS = ("mix", "mix_clean", "mix_both")  # where the mixtures of a folder of audio lie
