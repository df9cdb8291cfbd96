"""Names that try to leave, at every place where a command takes a name for a path.

A way in is a command, what the name is of, and how it is called with it. Each is tried with all
of SHAPES: the command ends with one sentence, and no file outside of its own folders is touched.
"""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.cli.commands import STAGE_COMMANDS
from separation.cli.main import main
from separation.download.unpack import unpack
from separation.errors import UserError
from separation.recordings.record import read_record

RATE = 8000
SHAPES = {
    "a parent": "../x",
    "a parent in the middle": "a/../../x",
    "an absolute path": "/canary/x",
    "a backslash": "..\\x",
    "a drive": "C:/x",
    "a control character": "a\x01b",
    "two slashes": "a//b",
    "300 letters": "x" * 300,
}
NAMELESS = {  # commands that make no path of a name, and all their options
    "experiments": {"exp", "sort", "as_csv"},
    "models": {"as_json"},
}


@dataclass(frozen=True, kw_only=True)
class Places:
    """What a way in may use; the command's own folders are ``data``, ``exp``, ``out``."""

    folder: Path
    speech: Path

    @property
    def places(self) -> list[str]:
        """Options that keep a stage in the folder."""
        return ["--data", str(self.folder / "data"), "--exp", str(self.folder / "exp")]

    def write(self, name: str, text: str) -> str:
        """A text file; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def write_table(self, mixture: str) -> str:
        """A table of two mixtures, the second called so."""
        head = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain"
        rows = f'fine,ann/a.wav,0.5,bob/a.wav,0.6\n"{mixture}",bob/a.wav,0.5,ann/a.wav,1\n'
        return self.write("tables/test.csv", f"{head}\n{rows}")

    def write_speaker(self, name: str, text: str) -> str:
        """A folder of recordings with a table or list of this name; returns ``NAME=DIR``."""
        self.write(f"mine/{name}", text)
        soundfile.write(self.folder / "mine" / "a.wav", np.ones(RATE, np.float32) / 9, RATE)
        return f"speech={self.folder / 'mine'}"


@dataclass(frozen=True, kw_only=True)
class WayIn:
    """A place where a command takes a name.

    Attributes:
        command: of the command line.
        what: whose name it is.
        call: the command with a name; returns the exit code.
        code: of a refusal: 1 where the name is a fault of the input that is listed on stdout.
        harmless: shapes that stay in the folder here.
    """

    command: str
    what: str
    call: Callable[[str, Places], int]
    code: int = 2
    harmless: tuple[str, ...] = ()


def _call(*words: str) -> Callable[[str, Places], int]:
    """A command whose words hold ``{name}``, ``{table}``, ``{speech}``, ``{folder}``."""

    def call(name: str, places: Places) -> int:
        known = {"folder": places.folder, "speech": places.speech, "name": name}
        table = places.write_table(name) if "{table}" in words else ""
        return main([word.format(**known, table=table) for word in words])

    return call


def _tag(command: str, *words: str) -> WayIn:
    def call(name: str, places: Places) -> int:
        return main([command, *words, "--tag", name, *places.places])

    return WayIn(command=command, what="--tag", call=call)


def _recipe(command: str) -> WayIn:
    return WayIn(command=command, what="--recipe", call=_call(command, "--recipe", "{name}"))


def _hub(command: str, *words: str) -> list[WayIn]:
    texts = {"a name on the Hub": "user/{name}", "a revision on the Hub": "user/model@{name}"}
    return [
        WayIn(
            command=command,
            what=what,
            call=_call(command, *(text if word == "HUB" else word for word in words)),
        )
        for what, text in texts.items()
    ]


def _measure(file: str, text: str) -> Callable[[str, Places], int]:
    """Stage 1 on a folder with a table or list."""

    def call(name: str, places: Places) -> int:
        corpus = places.write_speaker(file, text.format(name=name))
        words = ["--recipe", "folder/ConvTasNet", "--corpus", corpus, "--nj", "1"]
        return main(["corpus", *words, *places.places])

    return call


def _take_list(name: str, places: Places) -> int:
    """Stage 2 of a recipe whose mixtures exist, with a table as the list of a split."""
    rows = f'mixture_ID,mixture_path,source_1_path,source_2_path\n"{name}",m.wav,a.wav,b.wav\n'
    table = places.write("given/test.csv", rows)
    for stem in "mab":
        soundfile.write(places.folder / "given" / f"{stem}.wav", np.ones(RATE) / 9, RATE)
    corpora = [
        word for split in ("train", "dev", "test") for word in ("--corpus", f"{split}={table}")
    ]
    words = ["--recipe", "folder/ConvTasNet", "--nj", "1", *corpora]
    return main(["metadata", *words, *places.places])


def _unpack(name: str, places: Places) -> int:
    """What stage 0 does with an archive of a corpus that it has fetched."""
    archive = places.folder / "corpus.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo(name)
        member.size = 4
        members.addfile(member, io.BytesIO(b"mine"))
    try:
        unpack(archive, places.folder / "data")
    except UserError as error:
        return _say(error)
    return 0


def _read_record(name: str, places: Places) -> int:
    """A record of ``separate`` that says it wrote a file elsewhere, which would be replaced."""
    stamp = {"size": 1, "changed_ns": 1, "sha256": ""}
    values = {"recording": "/a.wav", "channel": 0, "stamp": stamp, "settings": {}, "measured": {}}
    values |= {"program": "separation separate", "version": 1, "outputs": {name: stamp}}
    record = read_record(Path(places.write("out/call.json", json.dumps(values))))
    return 0 if record else _say(UserError("call.json: is no record of separate."))


def _climb(text: str, *words: str) -> Callable[[str, Places], int]:
    def call(name: str, places: Places) -> int:
        values = json.dumps(json.loads(text), ensure_ascii=True)
        ladder = places.write("ladder.yml", values.replace("NAME", json.dumps(name)[1:-1]))
        corpus = f"speech={places.speech}"
        out = str(places.folder / "out")
        given = [word.format(name=name) for word in words]
        return main(["ablate", ladder, "--corpus", corpus, "--out", out, *given])

    return call


def _say(error: UserError) -> int:
    import sys

    print(f"error: {error}", file=sys.stderr)
    return 2


RUNG = '{"recipe": "folder/ConvTasNet", "steps": 8, "rungs": {"a": {}}}'
SCORED = ("--out", "{folder}/out", "--nj", "1")
MIXTURE = "a mixture in a table"
WAYS = [
    *(_tag(name, "--recipe", "folder/ConvTasNet") for name in (*STAGE_COMMANDS, "run", "overfit")),
    _tag("diagnose", "--recipe", "folder/ConvTasNet"),
    *(_recipe(name) for name in ("config", "run", "diagnose", "preflight")),
    WayIn(
        command="preflight",
        what="a member of an archive",
        call=_unpack,
        harmless=("two slashes",),  # an archive's own paths are often ./a//b
    ),
    WayIn(
        command="corpus",
        what="a speaker in utterances.csv",
        call=_measure("utterances.csv", 'speaker,path\n"{name}",a.wav\n'),
    ),
    WayIn(
        command="corpus",
        what="a file in utterances.csv",
        call=_measure("utterances.csv", 'speaker,path\nann,"{name}"\n'),
    ),
    WayIn(command="metadata", what=MIXTURE, call=_take_list),
    *_hub("separate", "separate", "{speech}/ann/a.wav", "--model", "HUB", "--out", "{folder}/out"),
    WayIn(command="separate", what="a track in NAME.json", call=_read_record),
    *_hub("compare", "compare", "--models", "HUB", "--test-sets", "{speech}", *SCORED),
    WayIn(
        command="compare",
        what=MIXTURE,
        call=_call(
            *("compare", "--estimates", "mine={speech}", "--test-sets", "{table}"),
            *("--corpus", "mine={speech}", *SCORED),
        ),
    ),
    WayIn(
        command="score",
        what=MIXTURE,
        call=_call(
            *("score", "--references", "{table}", "--estimates", "mine={speech}"),
            *("--corpus", "mine={speech}", *SCORED),
        ),
    ),
    WayIn(
        command="validate",
        what=MIXTURE,
        call=_call("validate", "{table}", "--corpus", "mine={speech}", "--nj", "1"),
        code=1,
    ),
    WayIn(
        command="render",
        what=MIXTURE,
        call=_call("render", "{table}", "--corpus", "mine={speech}", *SCORED),
    ),
    WayIn(command="ablate", what="a rung", call=_climb(RUNG.replace('"a"', '"NAME"'))),
    WayIn(
        command="ablate",
        what="a test set",
        call=_climb(RUNG.replace('"rungs"', '"tests": {"NAME": "t.csv"}, "rungs"')),
    ),
    WayIn(command="ablate", what="--score", call=_climb(RUNG, "--score", "{name}")),
    WayIn(command="ablate", what="--rungs", call=_climb(RUNG, "--rungs", "{name}")),
    WayIn(
        command="publish",
        what="--name",
        call=_call("publish", "{folder}/exp", "--out", "{folder}/out", "--name", "user/{name}"),
    ),
    *_hub("demo", "demo", "--model", "HUB"),
    *_hub("export", "export", "HUB", "--out", "{folder}/out/model.onnx"),
]


def format_ways() -> str:
    """The Markdown table of docs/reliability.md: what each command takes for a path."""
    commands = list(dict.fromkeys(way.command for way in WAYS))
    whats = {name: [way.what for way in WAYS if way.command == name] for name in commands}
    alike: dict[str, list[str]] = {}
    for name, own in whats.items():
        alike.setdefault(", ".join(own), []).append(f"`{name}`")
    rows = [f"| {', '.join(names)} | {what} |" for what, names in alike.items()]
    nameless = ", ".join(f"`{name}`" for name in NAMELESS)
    return "\n".join(
        ["| command | names that become paths |", "|---|---|", *rows, f"| {nameless} | none |"]
    )
