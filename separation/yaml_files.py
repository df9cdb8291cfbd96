"""YAML as its author meant it: values stay text until a key's declaration gives them a type.

YAML 1.1 reads ``010`` as 8, ``1:30`` as 90 and ``no`` as false. Here they are ``"010"``, ``"1:30"``
and ``"no"``, and whoever knows the key converts them. Aliases that would unfold to more than a
config can hold, and keys given twice, are refused before anything is built.
"""

from pathlib import Path
from typing import Any, ClassVar

import yaml

from separation.errors import MissingInputError, UserError
from separation.text import explain_error

MERGE = "tag:yaml.org,2002:merge"
MAX_NODES = 100_000  # of a file with its aliases unfolded; our largest config has 200
MAX_BYTES = 10_000_000


class _TextLoader(yaml.SafeLoader):
    """Every plain scalar is text; ``<<`` still merges."""

    yaml_implicit_resolvers: ClassVar[dict] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag == MERGE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str, name: str, *, typed: bool = False) -> Any:
    """The value of a YAML text.

    Args:
        text: of the file or option.
        name: what the user calls it, at the start of the sentence.
        typed: numbers, booleans and dates as YAML 1.1 reads them; for files that a program wrote.

    Raises:
        UserError: it is no YAML, holds a key twice, or unfolds to too much.
    """
    if len(text) > MAX_BYTES:
        raise UserError(f"{name}: has more than {MAX_BYTES} characters; no config is so long.")
    try:
        loader = (yaml.SafeLoader if typed else _TextLoader)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_nodes(node, name)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        reason = explain_error(error)[:200]
        raise UserError(f"{name}: is not valid YAML ({reason}); correct it.") from error


def read_yaml(path: Path, *, typed: bool = False) -> Any:
    """:func:`parse_yaml` of a file.

    Raises:
        MissingInputError: there is no such file.
        UserError: as :func:`parse_yaml`, or it is no UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: is not there; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is no text in UTF-8 ({error}); save it as UTF-8.") from error
    return parse_yaml(text, str(path), typed=typed)


def _check_nodes(node: yaml.Node, name: str) -> None:
    """Refuse what unfolds to too much or into itself, and keys given twice."""
    sizes: dict[int, int] = {}

    def count(part: yaml.Node) -> int:
        if id(part) in sizes:
            if not sizes[id(part)]:
                raise UserError(f"{name}: an alias holds itself; write its values out.")
            return sizes[id(part)]
        sizes[id(part)] = 0  # under way
        sizes[id(part)] = n_nodes = 1 + sum(map(count, _list_parts(part, name)))
        return n_nodes

    if count(node) > MAX_NODES:
        raise UserError(f"{name}: unfolds to more than {MAX_NODES} values; write fewer aliases.")


def _list_parts(node: yaml.Node, name: str) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1 and key != "<<"})
        if twice:
            raise UserError(f"{name}: holds the key {twice[0]} twice; keep one of the lines.")
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
