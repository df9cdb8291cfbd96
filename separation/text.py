"""Text that people read: the first of many names, Markdown tables, what an error says."""

import difflib
from collections.abc import Iterable, Sequence

N_LINES = 20  # of a list with a line each, before the rest is only counted


def list_first(
    names: Sequence[str], n_shown: int = 3, joined_by: str = ", ", n_all: int | None = None
) -> str:
    """The first of many names on one line, and how many more there are.

    Args:
        names: all of them, or at least the first.
        n_shown: names before the rest is only counted.
        joined_by: what stands between two names.
        n_all: their number, where ``names`` holds the first only.

    >>> list_first(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    >>> list_first(["a", "b"], joined_by="; ")
    'a; b'
    """
    n_more = (n_all or len(names)) - n_shown
    return joined_by.join(names[:n_shown]) + (f" and {n_more} more" if n_more > 0 else "")


def list_lines(
    lines: Sequence[str], n_shown: int = N_LINES, mark: str = "", n_all: int | None = None
) -> str:
    r"""The first of many lines, and a last one that says how many more there are.

    Args:
        lines: one thing each; all of them, or at least the first.
        n_shown: lines before the rest is only counted.
        mark: begins every line, such as ``- `` of a Markdown list.
        n_all: their number, where ``lines`` holds the first only.

    >>> list_lines(["a", "b", "c"], n_shown=2, mark="- ")
    '- a\n- b\n- ... and 1 more'
    """
    shown, n_more = list(lines[:n_shown]), (n_all or len(lines)) - n_shown
    if n_more > 0:
        shown.append(f"... and {n_more} more")
    return "\n".join(mark + line for line in shown)


def format_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    r"""A Markdown table; a bar or line end within a cell does not end the cell.

    >>> print(format_table(["set", "SI-SDRi"], [["a|b", 5.65]]))
    | set | SI-SDRi |
    |---|---|
    | a\|b | 5.65 |
    """
    lines = [format_table_row(head), "|" + "---|" * len(head), *map(format_table_row, rows)]
    return "\n".join(lines)


def format_table_row(cells: Sequence[object]) -> str:
    """One row of a Markdown table.

    >>> format_table_row(["a", "b"])
    '| a | b |'
    """
    return "| " + " | ".join(escape_cell(str(cell)) for cell in cells) + " |"


def escape_cell(text: str) -> str:
    r"""A text that can stand in a cell of a Markdown table.

    >>> escape_cell("a|b\nc")
    'a\\|b c'
    """
    return " ".join(text.split()).replace("|", "\\|")


def suggest_nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean ...? `` where a known name is close to one that is not, else nothing.

    >>> suggest_nearest("librispech", ["librispeech", "wham"]), suggest_nearest("x", ["wham"])
    ('did you mean librispeech? ', '')
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}? " if near else ""


def decode_text(data: bytes) -> tuple[str, str]:
    """Text of a table from anywhere, and what it was read as where that is not UTF-8.

    Marks at the start (Excel's) are no part of it. What is no UTF-8 is tried as GBK.

    Raises:
        UnicodeDecodeError: it is none of these.

    >>> decode_text("好".encode()), decode_text("好".encode("gbk"))
    (('好', ''), ('好', 'GBK'))
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        try:
            return data.decode("gb18030"), "GBK"
        except UnicodeDecodeError:
            raise error from None


def explain_error(error: BaseException) -> str:
    """What an error says, on one line; its type's name where it says nothing.

    >>> explain_error(ValueError("cut off\\n at 3 s")), explain_error(MemoryError())
    ('cut off at 3 s', 'MemoryError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def explain_briefly(error: BaseException) -> str:
    """The first line of what an error says; its type's name where it says nothing.

    >>> explain_briefly(RuntimeError("no memory\\nTraceback ..."))
    'no memory'
    """
    return (str(error) or type(error).__name__).splitlines()[0]


def find_cause(error: BaseException) -> BaseException:
    """The innermost error that led to this one."""
    while error.__context__ is not None:
        error = error.__context__
    return error
