"""Finds a checkpoint in a process of its own: the Hub's client reads its settings at import."""

import json
import sys
import time
from pathlib import Path

from huggingface_hub import constants

from separation.errors import UserError
from separation.models import published_models
from separation.models import sources as checkpoint_sources


def main() -> None:
    """``python -m tests.hub_client LIST TEXT...``: where each lies, or the sentence, as JSON."""
    listing, *texts = sys.argv[1:]
    entries = published_models.read_published(Path(listing))
    published_models.read_published = lambda: entries  # type: ignore[assignment]
    time.sleep = lambda seconds: None  # the client's pauses before it asks again
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 14  # kept before a cut: 10 MB would be the whole file
    print(json.dumps([find(text) for text in texts]))


def find(text: str) -> dict:
    try:
        source = checkpoint_sources.find_checkpoint(text)
    except UserError as error:
        return {"error": str(error)}
    name = source.published.name if source.published else ""
    return {"path": str(source.path), "published": name, "notes": source.notes}


if __name__ == "__main__":
    main()
