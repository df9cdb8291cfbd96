"""The card of a published model: the Hub's YAML front matter, scores, data, training, limits."""

from typing import TYPE_CHECKING, Any

import yaml

from separation.evaluation.summary import GroupSummary, format_scores
from separation.experiment.folder import ExperimentFolder
from separation.models.registry import find_conf_class
from separation.publish.corpora import describe_corpora, find_language, name_dataset
from separation.reports.headlines import read_headlines

if TYPE_CHECKING:
    from separation.publish.results import Results

SHOWN = {"si_sdri": "SI-SDRi (dB)", "sdri": "SDRi (dB)", "si_sdr": "SI-SDR (dB)", "sdr": "SDR (dB)"}


def format_card(results: "Results", name: str, author: str, licence: str, language: str) -> str:
    """README.md of a Hub repository.

    Args:
        results: of an experiment.
        name: ``user/name`` on the Hub.
        author: may be empty.
        licence: as the Hub writes it, such as ``cc-by-sa-4.0``; empty: the card states none.
        language: code; empty: that of the corpus where it has one.
    """
    by = f" by {author}" if author else ""
    front = _describe_front(results, name, licence, language or find_language(results.conf))
    head = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}\n---\n"
    parts = (_describe_use(results, name, by), _describe_origin(results))
    limits = f"## Limits\n{_list_limits(results)}\n\n## Licence\n{_describe_licence(licence, by)}\n"
    return head + "\n".join([*parts, limits])


def _describe_use(results: "Results", name: str, by: str) -> str:
    """What the model is, how it is used, how good it is."""
    conf = results.conf
    model = conf["model"]["name"]
    rate, n_src = conf["audio"]["sample_rate"], conf["mixtures"]["n_src"]
    headlines = read_headlines(ExperimentFolder(results.checkpoint.parent), results.summary)
    return f"""# {name.split("/")[1]}

{model}, {n_src} speakers, {rate} Hz, trained{by} on {name_dataset(conf, results.run)}
({conf["mixtures"]["task"]}) with the recipe {results.run["recipe"]}.

## Use
```python
{_show_use(model, name)}
```
{_explain_loading(name, n_src)}

## Scores
{format_scores(results.summary, headlines)}

SI-SDR with zero-mean signals, SDR of BSS Eval v3; means over mixtures, 95 % bootstrap intervals,
which draw speakers wherever they are known;
`mixture` is the unprocessed input, an improvement is measured against it.
"""


def _describe_origin(results: "Results") -> str:
    """Data and training."""
    conf = results.conf
    return f"""## Data
{describe_corpora(conf)}.

{_list_fingerprints(results)}

## Training
{results.steps} steps in {results.minutes:.1f} minutes on {results.run["device"]}, seed
{results.run["seed"]}, commit {results.run["commit"]}, config {results.run["conf_fingerprint"]};
{", ".join(f"{key} {value}" for key, value in results.run["versions"].items() if value)}.

```yaml
{yaml.safe_dump(conf, sort_keys=False).strip()}
```
"""


def _describe_front(results: "Results", name: str, licence: str, language: str) -> dict[str, Any]:
    """The keys that the Hub reads; what is not known is left out."""
    conf = results.conf
    dataset = name_dataset(conf, results.run)
    front: dict[str, Any] = {"library_name": "asteroid", "pipeline_tag": "audio-to-audio"}
    if licence:
        front["license"] = licence
    if language:
        front["language"] = [language]
    tags = ["asteroid", "audio", conf["model"]["name"], "audio-to-audio", "speech-separation"]
    front |= {"tags": tags, "datasets": [dataset, conf["mixtures"]["task"]]}
    task = {"type": "audio-to-audio", "name": "speech separation"}
    entries = [
        {
            "task": task,
            "dataset": {
                "name": f"{dataset} {_describe_set(conf, test_set, whole)}",
                "type": dataset,
            },
            "metrics": [
                {"type": key, "value": whole.means[key].mean, "name": label}
                for key, label in SHOWN.items()
                if key in whole.means
            ],
        }
        for test_set, whole in results.list_model_scores()
    ]
    return front | {"model-index": [{"name": name.split("/")[1], "results": entries}]}


def _describe_set(conf: dict[str, Any], test_set: str, whole: GroupSummary) -> str:
    """A test set with what tells it from the published one of that name."""
    rate, mode = conf["audio"]["sample_rate"], conf["mixtures"]["mode"]
    return f"{test_set}, {whole.n_mixtures} mixtures, {rate / 1000:g} kHz, {mode}"


def _show_use(model: str, name: str) -> str:
    """Python lines that load the model: Asteroid's where it knows the class, else ours."""
    if find_conf_class(model).in_asteroid:
        lines = ("from asteroid.models import BaseModel", "model = BaseModel.from_pretrained({})")
    else:
        lines = (
            "from separation.models.checkpoint.load import open_model  # of this repository",
            "model = open_model({}).model",
        )
    return "\n".join(lines).format(f'"{name}"')


def _explain_loading(name: str, n_src: int) -> str:
    return (
        f"or `.venv/bin/python -m separation separate call.wav --model {name} --out separated`. "
        "The file holds tensors and plain values only; `(batch, time)` goes in, "
        f"`(batch, {n_src}, time)` comes out."
    )


def _list_fingerprints(results: "Results") -> str:
    """Fingerprints of tables and rendered audio, and the checkpoint's."""
    about = results.summary.about
    lines = [f"- {key}: `{value}`" for key, value in results.run["fingerprints"].items()]
    lines += [
        f"- {key}: `{value}`"
        for key, value in about.items()
        if isinstance(value, str) and key not in results.run["fingerprints"]
    ]
    return "Fingerprints of the mixture tables, of the checkpoint and of the audio:\n" + "\n".join(
        lines
    )


def _list_limits(results: "Results") -> str:
    conf = results.conf
    rate, n_src = conf["audio"]["sample_rate"], conf["mixtures"]["n_src"]
    noise = "with noise" if conf["mixtures"]["task"] == "sep_noisy" else "without noise"
    limits = [
        f"It always gives {n_src} outputs, at {rate} Hz; resample what has another rate.",
        f"Mixtures of training and test were made by adding recordings, {noise}; other languages, "
        "rooms, microphones and numbers of speakers were not measured.",
    ]
    seen, unseen = (
        results.summary.find_mean(name, "model", "si_sdri") for name in ("test_seen", "test_unseen")
    )
    if seen and unseen:
        limits.append(
            f"Voices heard in training gain {seen.mean:.2f} dB, voices never heard "
            f"{unseen.mean:.2f} dB: the second is what to expect of other people."
        )
    return "\n".join(f"- {text}" for text in limits)


def _describe_licence(licence: str, by: str) -> str:
    if not licence:
        return "None is stated, so nothing is granted: ask its author before you use it."
    return f"This model{' ' + by.strip() if by else ''} is licensed under {licence}."
