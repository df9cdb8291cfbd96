"""Words of the reports in English."""

ENGLISH = {
    "seconds": "{value} s",
    "origin": "recipe {recipe} · tag {tag}",
    "origin.more": "{device} · {steps} steps, {minutes} min",
    "range": "95 %: {low} to {high} dB",
    "range.none": "no interval",
    "drawn.speakers": "{mixtures} mixtures of {speakers} speakers; the interval draws speakers.",
    "drawn.few": (
        "{mixtures} mixtures of only {speakers} speakers: the interval draws speakers, and with "
        "fewer than ten it is a rough one."
    ),
    "drawn.nothing": (
        "{mixtures} mixtures of only {speakers} speakers: a score of these people, from which no "
        "interval for others follows."
    ),
    "drawn.mixtures": (
        "{mixtures} mixtures; their speakers are not known, so the interval draws mixtures."
    ),
    "card.speakers": "{mixtures} mixtures, {speakers} speakers.",
    "card.few": "{mixtures} mixtures of only {speakers} speakers: a rough interval.",
    "card.nothing": (
        "{mixtures} mixtures of only {speakers} speakers: too few people for an interval."
    ),
    "card.mixtures": "{mixtures} mixtures of unknown speakers: the interval draws mixtures.",
    "set.test_seen": "speakers heard in training",
    "set.test_unseen": "speakers never heard",
    "set.test": "speakers never heard in training",
    "score": "How good",
    "score.unscored": "no mixture could be scored",
    "score.floor": "mixture 0",
    "score.ceiling": "{oracle} {value}",
    "score.share": "{share} % of the way to the oracle mask.",
    "score.below": "Worse than the unprocessed mixture.",
    "score.open": "Not clearly different from the unprocessed mixture.",
    "score.gauge": "{name}: {mean} dB on a scale from the mixture, 0, to {ceiling}; {range}",
    "score.no_ceiling": "no ceiling",
    "gap": (
        "The model improves voices it knows by {seen} dB and voices it never heard by {unseen} dB: "
        "{gap} dB do not carry over to new voices."
    ),
    "findings": "What limits it, and what to do next",
    "findings.healthy": "Nothing looked at is wrong.",
    "findings.more": "{n} more findings",
    "finding.fault": "fault",
    "finding.limit": "limit",
    "finding.note": "note",
    "finding.evidence": "Evidence",
    "finding.evidence_of": "Evidence: {title}",
    "finding.all": "What was looked at",
    "worth.measured": "measured {range} dB",
    "worth.expected": "expected {range} dB, not measured",
    "worth.unknown": "not measured",
    "what": "what",
    "value": "value",
    "training": "Training",
    "training.train_dynamic": "training, mixed anew for every step",
    "training.train_fixed": "training, a fixed list",
    "training.dev": "dev, a fixed list",
    "training.minutes": "minutes of training",
    "training.ratio": "{ratio} (dB)",
    "training.curves": (
        "{ratio} of training and dev over minutes: training ends at {train} dB, dev at {dev} dB, "
        "its best {best} dB"
    ),
    "training.lr": "Learning rate",
    "mixtures": "Single mixtures",
    "mixtures.count": "mixtures",
    "mixtures.histogram": "Histogram of SI-SDRi on {split}: {n} mixtures, mean {mean} dB",
    "mixtures.caption": "{split}: mean {mean} dB, {below} % below 0 dB",
    "where": "Where it is good and bad",
    "where.note": (
        "SI-SDRi in dB by what a mixture is like: mean, 95 % over mixtures where there are ten or "
        "more, number of mixtures."
    ),
    "by.sex pair": "Sexes",
    "by.level difference": "Level difference",
    "by.length": "Length",
    "by.overlap": "Overlap",
    "by.speaker": "Speakers with the lowest means",
    "group": "group",
    "group.same-sex": "same sex",
    "group.different-sex": "different sexes",
    "group.unknown": "unknown",
    "group.below": "below {high} {unit}",
    "group.between": "{low} to {high} {unit}",
    "group.from": "{low} {unit} or more",
    "of_n": "of {n}",
    "worst": "{split}, the worst: {listed}.",
    "examples": "To see and hear",
    "examples.note": (
        "All signals of a mixture share one position in time: choose another while it plays. "
        "Spectrograms show {range} dB below the mixture's loudest point, all on one scale, up to "
        "{khz} kHz."
    ),
    "examples.best": "best",
    "examples.median": "median",
    "examples.worst": "worst",
    "examples.heading": "{split}, {which}: {gain} dB",
    "examples.first": "the first {value} s",
    "signal.mixture": "mixture",
    "signal.reference": "reference {k}",
    "signal.estimate": "estimate {k}",
    "signal.spectrogram": "spectrogram of {name}",
    "player": "Signals of {title}",
    "player.play": "play",
    "player.pause": "pause",
    "player.position": "position in seconds",
    "tables": "All scores",
    "tables.note": (
        "SI-SDR with zero-mean signals, SDR of BSS Eval v3; dB, means over mixtures. Intervals "
        "(95 %, bootstrap) draw speakers wherever they are known."
    ),
    "table.test set": "test set",
    "table.estimator": "estimator",
    "table.SI-SDRi [95 %]": "SI-SDRi [95 %]",
    "table.SDRi [95 %]": "SDRi [95 %]",
    "table.same-sex SI-SDRi": "same-sex SI-SDRi",
    "table.different-sex SI-SDRi": "different-sex SI-SDRi",
    "table.mixtures": "mixtures",
    "estimator.model": "model",
    "estimator.mixture": "mixture (floor)",
    "estimator.oracle": "{name} (oracle)",
    "problem": "{split}, {estimator}: {problem} in {n} mixture(s): {listed}.",
    "provenance": "What produced this",
    "provenance.run": "run.json",
    "provenance.conf": "The resolved config, conf.yml",
    "command.again": "The same run again:",
    "footer": "One file, made by stage 6; nothing in it is loaded from elsewhere.",
    "overfit.untried": "Overfitting to ten mixtures was not tried: `{command}` does.",
    "overfit.other": "Overfitting was tried with another model: run `{command}` again.",
    "overfit.passed": "Overfitting to a few mixtures passed: {sentence}",
    "overfit.failed": (
        "Overfitting to a few mixtures FAILED, so no score here can be trusted: {sentence}"
    ),
    "speakers.lowest": (
        "{name}: lowest of {n} speakers, mean over the mixtures that each is in: {listed}."
    ),
    "speakers.lowest_often": (
        "{name}: lowest of {n} speakers in {often} mixtures or more, mean over the mixtures that "
        "each is in: {listed}."
    ),
    "correlation": ("{name}: rank correlation of the improvement with the input's score {value}."),
    "baseline.none": (
        "No {baseline} scored on the same mixtures to compare with: `{command}` makes it."
    ),
    "baseline.figures": (
        "On {split}, SI-SDRi: {model} {ours}, {baseline} ({tag}: the same network over a fixed "
        "STFT) {theirs}; difference {difference} dB"
    ),
    "baseline.beats": "{figures}: {model} clearly beats it, as it should.",
    "baseline.open": (
        "{figures}: {model} does not clearly beat it, so something may be wrong. Check that both "
        "trained as long ({ours} and {theirs} steps), that the training loss was still falling, "
        "kernel size and stride, and `{command}`."
    ),
    "steps.unknown": "unknown",
    "results.sets": "Sets: {sets}.",
    "results.recipe": "recipe {recipe}, tag {tag}, commit {commit}, seed {seed}, config {config}",
    "results.length": "{minutes} minutes of training, {steps} steps, on {device}",
    "results.mixtures": "mixtures: {prints}",
    "results.audio": "rendered audio at {rate} Hz: {audio}",
    "results.checkpoint": "checkpoint sha256 {sha256}",
    "results.again": "the same run again: `{command}`",
    "results.row": "As a row of a table of results, such as that of egs/aishell3mix/README.md:",
}
