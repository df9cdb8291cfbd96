"""Finds a checkpoint in a process of its own: the Hub's client reads its settings at import."""

import json
import os
import socket
import sys
import time
from pathlib import Path

from separation.errors import UserError
from separation.models import published as published_models
from separation.models.checkpoint import locate as checkpoint_sources


def main() -> None:
    """``python -m tests.support.hub_client LIST TEXT...``: where each lies, or why not, as JSON."""
    from huggingface_hub import constants  # after the project, which prepares its settings

    listing, *texts = sys.argv[1:]
    entries = published_models.read_published(Path(listing))
    published_models.read_published = lambda: entries  # type: ignore[assignment]
    time.sleep = lambda seconds: None  # the client's pauses before it asks again
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 14  # kept before a cut: 10 MB would be the whole file
    if "NO_CONNECTION" in os.environ:
        socket.socket.connect = refuse_connection  # type: ignore[method-assign]
    print(json.dumps([find(text) for text in texts]))


def refuse_connection(*_) -> None:
    """What is imported may open sockets; nothing may connect one."""
    raise AssertionError("a connection is opened")


def find(text: str) -> dict:
    try:
        source = checkpoint_sources.find_checkpoint(text)
    except UserError as error:
        return {"error": str(error)}
    name = source.published.name if source.published else ""
    scores = source.published.scores if source.published else {}
    told = {"path": str(source.path), "published": name, "scores": scores, "notes": source.notes}
    return told | (separate(text) if "LOAD" in os.environ else {})


def separate(text: str) -> dict:
    """The model that a text names, put to work."""
    import torch

    from separation.models.checkpoint.load import open_model

    loaded = open_model(text)
    shape = loaded.model(torch.randn(1, 1600)).shape
    return {"rate": loaded.sample_rate, "shape": list(shape), "notes": loaded.notes}


if __name__ == "__main__":
    main()
