"""Damaged inputs by the thousand: what every reader does with them, each in a process of its own.

    python -m tests.faults.mutate --seed 0 --count 1000 [--kinds flac table] [--keep DIR]

A case is a kind of input, a number and a seed, from which the damage follows: the same three give
the same bytes again. Each runs in a forked process with bounds of memory, time and file size, and
its outcome is one of OUTCOMES; the last five are defects.
"""

import argparse
import collections
import contextlib
import dataclasses
import gc
import io
import json
import math
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.errors import UserError

OUTCOMES = ("refused", "taken", "traceback", "hang", "memory", "silent", "acted")
DEFECTS = OUTCOMES[2:]
CPU_S, WALL_S = 15, 60
BATCH = 20  # cases of one kind that share a process
MEMORY_BYTES, FILE_BYTES = 3 << 30, 1 << 28  # beyond what is mapped already; of a file written
TOKENS = (
    *(b"../../canary/x", b"/canary/x", b"..", b"~", b"\0", b"\xff\xfe", b"\xc3", b"\xef\xbb\xbf"),
    *(b"-1", b"0", b"1e999", b"nan", b"inf", b"1e300", b"999999999999999999999", b"010", b"1:30"),
    *(b"|", b"ls |", b'"', b"'", b"*x", b"&a [*a]", b"[", b"{", b"}", b":", b",", b"\t", b"\r"),
    *(b"%5", b"@x", b"!!python/name:os.system", b"<script>", b"$x$", b"\n\n", b"x" * 300),
    *("好".encode(), "é".encode(), "\u202e".encode(), b"y" * 140_000),
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input.

    Attributes:
        name: of the kind.
        make: writes the whole input into a folder.
        read: reads it as the program does; returns what it read, to be compared, or an exit code.
        damaged: patterns of the files that are damaged, one a case.
        is_text: whether damage is of lines and words too.
        is_silent: whether reading other than the whole input gives is a defect, given both.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    damaged: tuple[str, ...]
    is_text: bool = False
    is_silent: Callable[[Any, Any], bool] = lambda whole, got: False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one damaged input."""

    kind: str
    seed: int
    number: int
    outcome: str
    detail: str = ""


def damage(data: bytes, dice: random.Random, *, is_text: bool) -> bytes:
    """Bytes that are no longer what they were, by one to three changes."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        change = dice.choice((*BYTE_CHANGES, *(TEXT_CHANGES if is_text else ())))
        data = change(data, dice) if data else data
    return data


def _flip_bit(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(min(len(data), 64) if dice.random() < 0.3 else len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def _cut_end(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def _lose_piece(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(data))
    return data[:place] + data[place + dice.choice((1, 2, 8, 100, 5000)) :]


def _repeat_piece(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(data))
    return data[:place] + data[place : place + dice.choice((1, 8, 100, 5000))] + data[place:]


def _overwrite(data: bytes, dice: random.Random) -> bytes:
    place, size = dice.randrange(len(data)), dice.choice((1, 4, 8, 64))
    fill = dice.choice((bytes(size), b"\xff" * size, dice.randbytes(size)))
    return data[:place] + fill + data[place + size :]


def _put_token(data: bytes, dice: random.Random) -> bytes:
    """In the place of a word, or between two letters."""
    token, place = dice.choice(TOKENS), dice.randrange(len(data))
    end = place
    if dice.random() < 0.7:
        marks = b",;\t\n :|[]{}\"'="
        while place and data[place - 1] not in marks:
            place -= 1
        while end < len(data) and data[end] not in marks:
            end += 1
    return data[:place] + token + data[end:]


def _change_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
    what = dice.choice(("lose", "repeat", "swap"))
    if what == "lose":
        del lines[first]
    elif what == "repeat":
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


BYTE_CHANGES = (_flip_bit, _flip_bit, _cut_end, _lose_piece, _repeat_piece, _overwrite)
TEXT_CHANGES = (_put_token, _put_token, _put_token, _put_token, _change_lines)


def run_cases(
    kind: Kind, seed: int, numbers: list[int], whole: Path, keep: Path | None = None
) -> Iterator[Outcome]:
    """Damage one file of a copy of an input, for each number, and read it in a forked process.

    The cases share a process; the one that ends it has its outcome, and the next begins another.

    Args:
        kind: of the input.
        seed: of the campaign.
        numbers: of the cases.
        whole: holds what ``kind.make`` wrote, in ``input``, and ``whole.pickle``.
        keep: gets the inputs of defects.
    """
    left = list(numbers)
    while left:
        with tempfile.TemporaryDirectory(prefix="mutate-") as text:
            outcomes = _fork(kind, seed, left, whole, Path(text))
            for own in outcomes:
                if keep and own.outcome in DEFECTS:
                    target = keep / f"{kind.name}-{seed}-{own.number}"
                    shutil.copytree(Path(text) / str(own.number), target, dirs_exist_ok=True)
        yield from outcomes
        left = left[len(outcomes) :]


def _run_case(kind: Kind, seed: int, number: int, whole: Path, folder: Path) -> Outcome:
    """One case, in the forked process; a folder without a defect is removed."""
    dice = random.Random(f"{kind.name} {seed} {number}")
    shutil.copytree(whole / "input", folder / "input")
    (folder / "canary").mkdir()
    (folder / "canary" / "x.wav").write_bytes(b"mine")
    files = sorted(p for name in kind.damaged for p in (folder / "input").glob(name))
    path = dice.choice(files)
    path.write_bytes(damage(path.read_bytes(), dice, is_text=kind.is_text))
    outcome, detail = _read(kind, folder / "input", whole)
    canaries = {p.name: p.read_bytes() for p in (folder / "canary").iterdir()}
    if canaries != {"x.wav": b"mine"} or {p.name for p in folder.iterdir()} - KNOWN:
        outcome, detail = "acted", str(sorted(p.name for p in folder.iterdir()))
    if outcome not in DEFECTS:
        shutil.rmtree(folder)
    where = f"{path.name}: {detail}"[:3000]
    return Outcome(kind=kind.name, seed=seed, number=number, outcome=outcome, detail=where)


KNOWN = {"input", "canary", "out"}


def _read(kind: Kind, folder: Path, whole: Path) -> tuple[str, str]:
    """Outcome and what it rests on, in the forked process."""
    try:
        got = kind.read(folder)
    except UserError as error:
        return ("refused", str(error)) if str(error).strip() else ("traceback", "an empty sentence")
    except MemoryError:
        return "memory", traceback.format_exc(limit=-3)
    except BaseException as error:
        if "can't allocate memory" in str(error):
            return "memory", str(error)[:200]
        return "traceback", traceback.format_exc(limit=-4)
    if isinstance(got, int) and got == 2:
        return "refused", "exit code 2"
    expected = pickle.loads((whole / "whole.pickle").read_bytes())
    if kind.is_silent(expected, got):
        return "silent", f"{expected!r:.200} {got!r:.200}"
    return "taken", ""


def _fork(kind: Kind, seed: int, numbers: list[int], whole: Path, folder: Path) -> list[Outcome]:
    """Outcomes of the first cases, up to all, in a child with bounds; its output goes nowhere."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _bound_child()
        for number in numbers:
            _bound_case()
            own = _run_case(kind, seed, number, whole, folder / str(number))
            os.write(writing, json.dumps(dataclasses.asdict(own)).encode() + b"\n")
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as handle:
        lines = handle.read().splitlines()
    _, status = os.waitpid(child, 0)
    outcomes = [Outcome(**json.loads(line)) for line in lines]
    if len(outcomes) < len(numbers):
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in HUNG
        outcome, detail = "hang" if killed else "traceback", f"the process ended with {status}"
        number = numbers[len(outcomes)]
        ended = Outcome(kind=kind.name, seed=seed, number=number, outcome=outcome, detail=detail)
        outcomes.append(ended)
    return outcomes


HUNG = (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)


def _bound_child() -> None:
    os.setsid()
    gc.disable()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.stdout = sys.stderr = io.StringIO()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def _bound_case() -> None:
    """Time for one more case: beyond it the process is ended."""
    used_s = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used_s + CPU_S, resource.RLIM_INFINITY))
    signal.alarm(WALL_S)


def prepare(kind: Kind, folder: Path) -> Path:
    """The whole input of a kind and what the program reads of it; it must be taken."""
    whole = folder / kind.name
    (whole / "input").mkdir(parents=True)
    kind.make(whole / "input")
    with tempfile.TemporaryDirectory(prefix="mutate-") as text:
        copy = Path(text) / "input"
        shutil.copytree(whole / "input", copy)
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            got = kind.read(copy)
    if isinstance(got, int) and got == 2:
        raise AssertionError(f"{kind.name}: the whole input is refused: {heard.getvalue()[-400:]}")
    (whole / "whole.pickle").write_bytes(pickle.dumps(got))
    return whole


def run_campaign(
    kinds: list[Kind], seed: int, count: int, keep: Path | None = None
) -> Iterator[Outcome]:
    """Outcomes of about ``count`` damaged inputs, some of each kind in turn."""
    with tempfile.TemporaryDirectory(prefix="mutate-whole-") as text:
        wholes = {kind.name: prepare(kind, Path(text)) for kind in kinds}
        gc.collect()
        gc.freeze()  # or the first collection in a child would copy all of the parent's memory
        n_each = math.ceil(count / len(kinds))
        for first in range(0, n_each, BATCH):
            numbers = list(range(first, min(first + BATCH, n_each)))
            for kind in kinds:
                yield from run_cases(kind, seed, numbers, wholes[kind.name], keep)


def format_counts(outcomes: list[Outcome]) -> str:
    """A Markdown table: a row a kind, a column an outcome."""
    counts = collections.Counter((own.kind, own.outcome) for own in outcomes)
    kinds = list(dict.fromkeys(own.kind for own in outcomes))
    rows = [[kind, *(counts[kind, name] for name in OUTCOMES)] for kind in kinds]
    rows.append(["all", *(sum(counts[kind, name] for kind in kinds) for name in OUTCOMES)])
    lines = ["| kind | " + " | ".join(OUTCOMES) + " |", "|---|" + "---|" * len(OUTCOMES)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def main() -> int:
    """Run a campaign, print its counts and its defects; 1 where there are any."""
    from tests.faults.kinds import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=1e9, help="at most")
    parser.add_argument("--kinds", nargs="+", default=[kind.name for kind in KINDS])
    parser.add_argument("--keep", type=Path, help="gets the inputs of defects")
    parser.add_argument("--out", type=Path, help="gets an outcome a line, as JSON")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind.name in options.kinds]
    end, outcomes = time.monotonic() + 60 * options.minutes, []
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(options.out, "a")) if options.out else None
        for own in run_campaign(kinds, options.seed, options.count, options.keep):
            outcomes.append(own)
            if log:
                print(json.dumps(dataclasses.asdict(own)), file=log, flush=True)
            if own.outcome in DEFECTS:
                print(
                    f"{own.kind} {own.seed} {own.number} {own.outcome}: {own.detail}\n", flush=True
                )
            if time.monotonic() > end:
                break
    print(format_counts(outcomes))
    return int(any(own.outcome in DEFECTS for own in outcomes))


if __name__ == "__main__":
    sys.exit(main())
