"""From which value on something is said of a recording; chosen on training speakers.

``benchmarks/recording_reports/measure.py`` has the search, docs/recording-reports.md how often
they are right for speakers on whom they were not chosen.
"""

# a track is the clear one of a window: so much louder than the others, for this share of it
CLEAR_DB, SPOKEN = 6.0, 0.6
# score of a track, less where the others are silent, and share of its smaller cluster
TWO_VOICES, MERGED_VOICES, SMALLEST = 0.09, 0.03, 0.15
# a merge: the other tracks have less of the clear windows, and are heard in less of the speech
MERGED, MERGED_ACTIVE = 0.15, 0.4
LIKELY_ONE = 0.6  # likeness of two voices from which on they are not told apart
MARGIN, SHORTEST_SWAP_S = 0.05, 1.0
LEAK_CORRELATION, LEAK_DB, SHORTEST_LEAK_S = 0.4, -20.0, 1.5
ALIKE = 0.5  # correlation of the tracks where both are heard

NARROW_HZ = 5500.0
NOISY_DB = 12.0
CLIPPED = 1e-4
REVERBERANT_S, REVERBERANT_SNR_DB = 0.5, 12.0  # decays are the room's only above the noise
TONES, PAUSE_TONES, FAINT_DB = 0.2, 0.2, 30.0  # what is so far below the speech does no harm
UNEQUAL_DB = 10.0
HARD_VOICES_DB = 5.0  # SI-SDR of mixtures of the recording's own voices
RT60_BY_DECAY = ((0.40, 0.30), (0.57, 0.62), (0.67, 1.05), (0.70, 1.20))
