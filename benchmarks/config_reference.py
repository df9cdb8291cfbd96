"""Records how a checkout resolves every recipe, for tests/config/test_reference.py.

    cd CHECKOUT && python PATH/TO/benchmarks/config_reference.py OUT.json

CHECKOUT is a clone of this repository at commit fde655c, where each recipe's conf.yml still held
the keys of its data set. Kept are hashes of the resolved configs as YAML text and as values; stage
keys are made of the latter, so what was trained then is found trained now.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))  # the checkout's package, not that of this file

import yaml

OVERRIDES = {  # by a part of a recipe's name: further cases of it
    "": [[]],
    "ConvTasNet": [["audio.sample_rate=16000"], ["model.causal=true", "model.norm_type=cLN"]],
    "librimix/ConvTasNet": [["mixtures.n_src=3", "mixtures.task=sep_noisy", "metadata.draw=true"]],
    "folder/STFTMask": [["model.name=SuDORMRFImprovedNet"], ["model.name=DPRNNTasNet"]],
    "mini": [["training.lr=1e-4", "training.compile=off", "training.schedule=cosine"]],
}


def list_cases(recipes: list[str]) -> list[tuple[str, list[str]]]:
    """Every recipe and variant, as it is and with overrides."""
    return [
        (recipe, overrides)
        for recipe in recipes
        for part, cases in OVERRIDES.items()
        for overrides in cases
        if part in recipe and not (len(recipe.split("/")) == 3 and overrides)
    ]


def describe_case(values: dict) -> dict[str, str]:
    """Hashes of a resolved config: of its text as conf.yml has it, and as stage keys hash it."""
    texts = {
        "yaml": yaml.safe_dump(values, sort_keys=False),
        "key": json.dumps(values, sort_keys=True),
    }
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def main() -> None:
    """Resolve every case with the checkout's code and write the hashes."""
    from separation.config import list_recipes, load_conf  # as fde655c has it

    root = Path.cwd()
    found = {
        " ".join([recipe, *overrides]): describe_case(load_conf(root, recipe, overrides).as_dict())
        for recipe, overrides in list_cases(list_recipes(root))
    }
    Path(sys.argv[1]).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
