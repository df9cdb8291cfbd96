"""The checks of ``validate`` by name, and what each finds."""

CHECKS = {
    "bad-row": "a line of the table that cannot be rendered",
    "unreadable": "a file that is absent, corrupt, empty or truncated",
    "wrong-rate": "a file of another sample rate; in a table: of a lower one than asked for",
    "wrong-channels": "a file of more than one channel",
    "length-mismatch": "mixture and sources differ in length",
    "too-short": "shorter than --min-s",
    "non-finite": "NaN or infinite samples",
    "silent": "a mixture or source that is silent, or a source 60 dB below the mixture",
    "clipped": "three successive samples at full scale, or a float file above it",
    "dc-offset": "a mean beyond 0.01 of full scale",
    "not-the-sum": "the mixture is not the sum of its parts",
    "same-source-twice": "two references are the same signal or utterance",
    "same-speaker": "a speaker twice in one mixture",
    "level-error": "a level further from what was asked for than --level-tolerance",
    "marked-invalid": "is_valid is false",
    "repeated-id": "an earlier mixture of the set has this ID",
    "duplicate": "an earlier mixture has the same audio, or the same utterances",
    "leakage": "a speaker of another set",
    "shared-utterance": "an utterance of another set",
}
