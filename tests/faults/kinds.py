"""The kinds of input that the mutation campaign damages, each with the program's own readers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from separation.audio.clips import open_clip
from separation.audio.files import read_mono
from separation.audio.headers import read_header
from separation.cli.main import main
from separation.config.load import build_conf, load_conf
from separation.config.schema import Conf
from separation.corpora.plugin import Reading, check_corpus, find_root, list_recordings, prepare
from separation.corpora.table import scan_recordings
from separation.errors import UserError
from separation.experiment.folder import ExperimentFolder
from separation.experiments.listing import list_experiments
from separation.files import write_text
from separation.jobs import Journal
from separation.models.asteroid import save_model
from separation.models.checkpoint.load import open_model
from separation.recordings.record import read_record
from separation.recordings.waveform import separate_waveform
from separation.training.checkpoint import read_checkpoint
from separation.yaml_files import read_yaml
from tests.conftest import ROOT, make_voice
from tests.faults.archive_kinds import PACKED
from tests.faults.mutate import Kind
from tests.support.small_models import build_small

RATE = 8000
RECIPE = "folder/ConvTasNet"


def _write_voice(
    path: Path, seed: int, kind: str | None = None, duration_s: float = 1.2, **options: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = make_voice(seed, 90 + 20 * seed, duration_s, RATE)
    soundfile.write(path, samples, RATE, kind, **options)


# Audio -------------------------------------------------------------------------------------------


def _make_audio(name: str, kind: str | None = None, **options: Any) -> Kind:
    """A recording, read in the three ways in which the program reads one."""

    def make(folder: Path) -> None:
        _write_voice(folder / name, 1, kind, **options)

    return Kind(
        name=name.replace(".", "-"),
        make=make,
        read=lambda folder: _read_audio(folder / name),
        damaged=(name,),
        is_silent=HAS_SUMS.get(name.rpartition(".")[2], _is_shorter),
    )


def _read_audio(path: Path) -> tuple[int, int, str]:
    header = read_header(path)
    if header.fault:
        raise UserError(header.fault)
    samples, rate = read_mono(path, "first")
    clip = open_clip(path, "first")
    again = clip.read(clip.n_samples, 1.0)
    if len(samples) != header.n_samples or len(again) != len(samples):
        return -1, rate, "three readers, two lengths"
    return len(samples) * header.channels, rate, hashlib.sha256(samples.tobytes()).hexdigest()[:8]


def _is_shorter(whole: Any, got: Any) -> bool:
    """Samples that were lost without a word, of all channels; nothing else has a checksum here."""
    return got[0] < 0.98 * whole[0]


HAS_SUMS = {  # a checksum tells of every changed sample
    "flac": lambda whole, got: got[0] != whole[0] or got[2] != whole[2],
    "ogg": lambda whole, got: got[0] != whole[0],
    "opus": lambda whole, got: got[0] != whole[0],
}
AUDIO = [
    _make_audio("a.wav", "PCM_16"),
    _make_audio("b.wav", "FLOAT"),
    _make_audio("a.flac", "PCM_16"),
    _make_audio("a.ogg", "VORBIS", format="OGG"),
    _make_audio("a.opus", "OPUS", format="OGG"),
    _make_audio("a.mp3", format="MP3"),
    _make_audio("a.aiff", "PCM_16"),
    _make_audio("a.au", "PCM_16"),
    _make_audio("a.sph", "PCM_16", format="NIST"),
    _make_audio("a.w64", "PCM_16", format="W64"),
]


# Tables of mixtures ------------------------------------------------------------------------------

HEADS = {
    "librimix": "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,"
    "noise_path,noise_gain",
    "pieces": "mixture_ID,source_1_path,source_1_gain,source_1_channel,source_1_start,"
    "source_1_n_samples,source_2_path,source_2_gain,source_2_channel,source_2_start,"
    "source_2_n_samples,source_1_loudness_lufs,level_difference_2_db",
    "wsj0": "mixture_ID,source_1_path,source_1_level,source_1_snr_db,source_2_path,"
    "source_2_level,source_2_snr_db,speaker_1_ID,speaker_2_ID",
}
ROWS = {
    "librimix": "m{k},ann/{k}.wav,0.5,bob/{k}.wav,0.7,n.wav,0.2",
    "pieces": "m{k},ann/0.wav|ann/1.wav,0.5,mono,100,9000,bob/{k}.wav,0.7,first,0,9000,-30,0.5",
    "wsj0": "m{k},ann/{k}.wav,0.01,1.5,bob/{k}.wav,0.02,-1.5,ann,bob",
}


def _make_table(style: str) -> Kind:
    """A table of mixtures, for ``validate`` and ``render``."""

    def make(folder: Path) -> None:
        for number, speaker in enumerate(("ann", "bob")):
            for k in range(2):
                _write_voice(folder / "speech" / speaker / f"{k}.wav", 2 * number + k)
        _write_voice(folder / "noise" / "n.wav", 9)
        lines = [HEADS[style], *(ROWS[style].format(k=k) for k in range(2))]
        write_text(folder / "t.csv", "\n".join(lines) + "\n")

    return Kind(
        name=f"table-{style}", make=make, read=_read_table, damaged=("t.csv",), is_text=True
    )


def _read_table(folder: Path) -> int:
    corpora = ["--corpus", f"mine={folder / 'speech'}", "--corpus", f"noise={folder / 'noise'}"]
    table, out = str(folder / "t.csv"), str(folder / "out" / "tree")
    code = main(["validate", table, *corpora, "--nj", "1", "--out", str(folder / "out" / "v")])
    rendered = main(["render", table, *corpora, "--nj", "1", "--out", out])
    return rendered if rendered or code == 2 else 0


# Folders and lists of mixtures, and what a system separated --------------------------------------


def _make_lists(style: str) -> Kind:
    """Mixtures with references in lists, for ``validate`` and ``score``."""

    def make(folder: Path) -> None:
        for k in range(2):
            _write_voice(folder / "wav" / "s1" / f"m{k}.wav", k, duration_s=0.3)
            _write_voice(folder / "wav" / "s2" / f"m{k}.wav", 4 + k, duration_s=0.3)
            voices = [soundfile.read(folder / "wav" / s / f"m{k}.wav")[0] for s in ("s1", "s2")]
            _write_sum(folder / "wav" / "mix" / f"m{k}.wav", voices)
        WRITE_LISTS[style](folder)

    return Kind(
        name=f"lists-{style}", make=make, read=_read_lists, damaged=("lists/*",), is_text=True
    )


def _write_sum(path: Path, voices: list[np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sum(voices), RATE)


def _write_scp(folder: Path) -> None:
    for part, name in (("mix", "wav"), ("s1", "spk1"), ("s2", "spk2")):
        lines = [f"m{k} ../wav/{part}/m{k}.wav" for k in range(2)]
        write_text(folder / "lists" / f"{name}.scp", "\n".join(lines) + "\n")


def _write_records(folder: Path) -> None:
    records = [
        {"id": f"m{k}", "mixture": f"../wav/mix/m{k}.wav"}
        | {"sources": [f"../wav/s1/m{k}.wav", f"../wav/s2/m{k}.wav"]}
        for k in range(2)
    ]
    write_text(folder / "lists" / "all.json", json.dumps(records, indent=1))


def _write_csv(folder: Path) -> None:
    lines = ["ID,mix_wav,s1_wav,s2_wav"]
    lines += [
        f"m{k}," + ",".join(f"../wav/{p}/m{k}.wav" for p in ("mix", "s1", "s2")) for k in "01"
    ]
    write_text(folder / "lists" / "all.csv", "\n".join(lines) + "\n")


WRITE_LISTS = {"scp": _write_scp, "json": _write_records, "csv": _write_csv}


def _read_lists(folder: Path) -> int:
    own = sorted((folder / "lists").iterdir())
    lists = str(own[0] if len(own) == 1 else folder / "lists")
    if not lists.endswith((".csv", ".json")):
        return main(["validate", lists, "--nj", "1", "--out", str(folder / "out")])
    words = ["score", "--references", lists, "--estimates", f"a={lists}", "--worst", "1"]
    return main([*words, "--nj", "1", "--out", str(folder / "out"), "--metrics", "si_sdr"])


# Corpora -----------------------------------------------------------------------------------------


def _make_corpus(name: str, source: str, make: Any, *damaged: str) -> Kind:
    return Kind(
        name=f"corpus-{name}",
        make=make,
        read=lambda folder: _read_corpus(source, folder),
        damaged=damaged,
        is_text=True,
    )


def _read_corpus(source: str, folder: Path) -> int:
    reading = Reading(extracted=folder / "out")
    root = folder / "corpus"
    if source == "speech":
        prepare(source, root, reading, 1)
    else:
        reading = Reading()
    recordings = list_recordings(source, root, reading)
    check_corpus(source, root, recordings, reading)
    base = find_root(source, root, reading)
    conf = load_conf(ROOT, RECIPE, ["corpus.skip_bad=true", "corpus.min_duration_s=0"]).corpus
    scan_recordings(recordings, base, conf, 1, folder / "out")
    return 0


def _write_utterances(folder: Path) -> None:
    lines = ["speaker,path,sex,split,transcript"]
    for number, (speaker, sex) in enumerate((("ann", "f"), ("bob", "m"))):
        for k in range(2):
            _write_voice(folder / "corpus" / "wav" / f"{speaker}{k}.wav", 2 * number + k)
            lines.append(f"{speaker},wav/{speaker}{k}.wav,{sex},train,some words")
    write_text(folder / "corpus" / "utterances.csv", "\n".join(lines) + "\n")


def _write_kaldi(folder: Path) -> None:
    files: dict[str, list[str]] = {"wav.scp": [], "utt2spk": [], "segments": [], "text": []}
    genders = []
    for number, speaker in enumerate(("ann", "bob")):
        _write_voice(folder / "corpus" / "wav" / f"{speaker}.wav", number)
        files["wav.scp"].append(f"{speaker}-r wav/{speaker}.wav")
        genders.append(f"{speaker} {'fm'[number]}")
        for k in range(2):
            files["utt2spk"].append(f"{speaker}-{k} {speaker}")
            files["text"].append(f"{speaker}-{k} some words")
            files["segments"].append(f"{speaker}-{k} {speaker}-r {0.5 * k} {0.5 * k + 0.6}")
    for name, lines in (files | {"spk2gender": genders}).items():
        write_text(folder / "corpus" / name, "\n".join(lines) + "\n")


def _write_lhotse(folder: Path) -> None:
    recordings, supervisions = [], []
    for number, speaker in enumerate(("ann", "bob")):
        path = folder / "corpus" / "wav" / f"{speaker}.wav"
        _write_voice(path, number)
        source = {"type": "file", "channels": [0], "source": f"wav/{speaker}.wav"}
        common = {"id": speaker, "sources": [source], "sampling_rate": RATE}
        recordings.append(common | {"num_samples": 9600, "duration": 1.2})
        spoken = {"id": f"{speaker}-0", "recording_id": speaker, "start": 0.1, "duration": 0.9}
        supervisions.append(spoken | {"channel": 0, "speaker": speaker, "text": "some words"})
    for name, records in (("recordings", recordings), ("supervisions", supervisions)):
        lines = [json.dumps(record) for record in records]
        write_text(folder / "corpus" / f"mini_{name}.jsonl", "\n".join(lines) + "\n")


def _write_librispeech(folder: Path) -> None:
    root, lines = folder / "corpus", ["; a comment"]
    for number, speaker in enumerate(("84", "1089")):
        place = root / "dev-clean" / speaker / "12"
        for k in range(2):
            _write_voice(place / f"{speaker}-12-000{k}.flac", 2 * number + k)
        texts = [f"{speaker}-12-000{k} SOME WORDS" for k in range(2)]
        write_text(place / f"{speaker}-12.trans.txt", "\n".join(texts) + "\n")
        lines.append(f"{speaker} | {'FM'[number]} | dev-clean | 8.0 | A Name")
    write_text(root / "SPEAKERS.TXT", "\n".join(lines) + "\n")


def _write_aishell3(folder: Path) -> None:
    root, lines = folder / "corpus", ["# comment"]
    for subset in ("train", "test"):
        texts = []
        for number, speaker in enumerate(("SSB0005", "SSB0012")):
            name = f"{speaker}000{1 if subset == 'train' else 2}.wav"
            _write_voice(root / subset / "wav" / speaker / name, number)
            texts.append(f"{name}\t你 ni3 好 hao3")
            if subset == "train":
                lines.append(f"{speaker}\tB\t{'female' if number else 'male'}\tnorth")
        write_text(root / subset / "content.txt", "\n".join(texts) + "\n")
    write_text(root / "spk-info.txt", "\n".join(lines) + "\n")


CORPORA = [
    _make_corpus("table", "speech", _write_utterances, "corpus/utterances.csv"),
    _make_corpus(
        *("kaldi", "speech", _write_kaldi),
        *(f"corpus/{name}" for name in ("wav.scp", "utt2spk", "segments", "text", "spk2gender")),
    ),
    _make_corpus("lhotse", "speech", _write_lhotse, "corpus/*.jsonl"),
    _make_corpus(
        *("librispeech", "librispeech", _write_librispeech),
        *("corpus/SPEAKERS.TXT", "corpus/dev-clean/*/*/*.txt"),
    ),
    _make_corpus(
        *("aishell3", "aishell3", _write_aishell3),
        *("corpus/spk-info.txt", "corpus/*/content.txt"),
    ),
]


# Configs and checkpoints -------------------------------------------------------------------------


def _write_conf(folder: Path) -> None:
    for name in ("conf/default.yml", "egs/folder/conf.yml", "egs/folder/ConvTasNet/conf.yml"):
        write_text(folder / name, (ROOT / name).read_text(encoding="utf-8"))


def _read_conf(folder: Path) -> dict[str, Any]:
    return load_conf(folder, RECIPE, []).as_dict()


def _write_saved_conf(folder: Path) -> None:
    import yaml

    conf = load_conf(ROOT, RECIPE, [])
    write_text(folder / "conf.yml", yaml.safe_dump(conf.as_dict(), sort_keys=False))


def _read_saved_conf(folder: Path) -> Conf:
    return build_conf(read_yaml(folder / "conf.yml", typed=True))


def _write_model(folder: Path) -> None:
    save_model(build_small("ConvTasNet"), folder / "best_model.pth")


def _write_training(folder: Path) -> None:
    state = dict.fromkeys(("step", "epoch", "steps_in_epoch", "stepping_s", "elapsed_s"), 1)
    state |= {name: {"a": [1.0]} for name in ("stepper", "plateau", "results")}
    torch.save(state | {"state_dict": build_small("ConvTasNet").state_dict()}, folder / "last.ckpt")


def _read_training(folder: Path) -> str:
    state = read_checkpoint(folder / "last.ckpt")
    assert state is not None
    return _hash_weights(state["state_dict"])


def _read_model(folder: Path) -> str:
    loaded = open_model(str(folder / "best_model.pth"))
    voice = make_voice(1, 120, 0.5, RATE)
    separate_waveform(loaded.model, voice, RATE, torch.device("cpu"), "voice")
    return _hash_weights(loaded.model.state_dict())


def _hash_weights(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


SETTINGS = [
    Kind(name="conf", make=_write_conf, read=_read_conf, damaged=("egs/*/*.yml", "egs/*/*/*.yml"),
         is_text=True),
    Kind(name="saved-conf", make=_write_saved_conf, read=_read_saved_conf, damaged=("conf.yml",),
         is_text=True),
    Kind(name="checkpoint", make=_write_model, read=_read_model, damaged=("best_model.pth",),
         is_silent=lambda whole, got: whole != got),
    Kind(name="last-checkpoint", make=_write_training, read=_read_training, damaged=("last.ckpt",),
         is_silent=lambda whole, got: whole != got),
]  # fmt: skip


# What the program itself keeps -------------------------------------------------------------------


def _write_kept(folder: Path) -> None:
    journal = Journal(folder / "journal.jsonl", "key")
    for k in range(4):
        journal.add(f"m{k}", {"sdr": 1.5, "length": 100})
    journal.close()
    record = {"program": "separation separate", "version": 1, "recording": "/a.wav", "channel": 0}
    record |= {"stamp": {"size": 1, "changed_ns": 2, "sha256": ""}, "settings": {}, "measured": {}}
    write_text(folder / "a.json", json.dumps(record | {"outputs": {"a_s1.wav": record["stamp"]}}))
    place = folder / "exp" / "mix" / "ConvTasNet" / "default"
    _write_saved_conf(place)
    write_text(place / "curves.csv", "epoch,step,elapsed_s,dev_loss\n1,10,5.0,-3.0\n")
    write_text(place / "run.json", json.dumps({"recipe": RECIPE, "data_key": "x"}))
    write_text(place / "evaluation" / "summary.json", json.dumps({}))


def _read_kept(folder: Path) -> int:
    journal = Journal(folder / "journal.jsonl", "key")
    journal.close()
    read_record(folder / "a.json")
    list_experiments(folder / "exp")
    ExperimentFolder(folder / "exp" / "mix" / "ConvTasNet" / "default").read_run()
    return 0


KEPT = Kind(
    name="kept",
    make=_write_kept,
    read=_read_kept,
    damaged=("journal.jsonl", "a.json", "exp/*/*/*/*.json", "exp/*/*/*/*.csv"),
    is_text=True,
)
KINDS = [
    *AUDIO,
    *map(_make_table, HEADS),
    *map(_make_lists, WRITE_LISTS),
    *CORPORA,
    *SETTINGS,
    KEPT,
    *PACKED,
]
