"""Where every value of a recipe's config comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from separation.config.load import list_layers, load_conf, merge_layers


@dataclass(frozen=True, kw_only=True)
class ExplainedKey:
    """A key of a resolved config, and which file or option its value comes from."""

    section: str
    name: str
    value: Any
    origin: str


def explain_conf(root: Path, recipe: str, overrides: Sequence[str]) -> list[ExplainedKey]:
    """Every key of the config that :func:`load_conf` resolves, with its value's origin.

    Args:
        root: the repository.
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        overrides: ``section.key=value``, each.

    Raises:
        UserError: as :func:`load_conf`.
    """
    given, origins = merge_layers(list_layers(root, recipe, overrides))
    resolved = load_conf(root, recipe, overrides).as_dict()
    explained = []
    for section, keys in resolved.items():
        for name, value in keys.items():
            origin = origins[section, name]
            if value != given[section][name]:  # such as a kernel that follows the sample rate
                origin += f", {given[section][name]} there: scaled to audio.sample_rate"
            explained.append(ExplainedKey(section=section, name=name, value=value, origin=origin))
    return explained


def format_explained(keys: Sequence[ExplainedKey]) -> str:
    """The keys as YAML, each value with its origin as a comment."""
    lines, section = [], ""
    for key in keys:
        if key.section != section:
            section = key.section
            lines.append(f"{section}:")
        value = yaml.safe_dump([key.value], default_flow_style=True, width=1000).strip()[1:-1]
        lines.append(f"  {f'{key.name}: {value}':<38}  # {key.origin}")
    return "\n".join(lines)
