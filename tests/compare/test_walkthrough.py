"""The walk-through of docs/compare.md as it stands there, against a Hub on the loopback address."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from separation.evaluation.score_rows import read_scores
from separation.models.published import LIST
from tests.conftest import ROOT
from tests.models.test_hub import COMMITS, Handler, Hub
from tests.support.mixture_folders import save_small_model, write_folder

CLIENT = """
import sys
from pathlib import Path
from separation.models import published as published_models
entries = published_models.read_published(Path(sys.argv.pop(1)))
published_models.read_published = lambda: entries
from separation.__main__ import main
sys.exit(main())
"""


def find_command(text: str) -> list[str]:
    """The words after ``python -m separation`` of the first ``compare`` in a page's code."""
    lines = text.replace("\\\n", " ")
    found = re.search(r"^(?:\.venv/bin/)?python -m separation (compare .*)$", lines, re.M)
    assert found, "no such command"
    return shlex.split(found[1], comments=True)


class ModelHandler(Handler):
    """A Hub that holds several models' files."""

    files: dict[str, bytes]

    def answer_as_hub(self, path: str) -> None:
        repository = path.strip("/").partition("/resolve/")[0]
        content = self.files[repository]
        headers = {
            "X-Repo-Commit": COMMITS["main"],
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "ETag": '"of the redirect"',
            "Location": f"{self.hub.url}/cdn/{repository}",
        }
        self.reply(302, headers)

    def send_body(self) -> None:
        self.hub.content = self.files[self.path.removeprefix("/cdn/")]
        super().send_body()


@pytest.fixture
def serve():
    """Starts the server on files by repository; returns what it holds, and stops it."""
    servers = []

    def start(files: dict[str, bytes]) -> Hub:
        hub = Hub()
        handler = type("BoundHandler", (ModelHandler,), {"hub": hub, "files": files})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return hub

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def list_without_pins(path: Path) -> list[str]:
    """Write the published list less the hashes of the real files; returns its models' names."""
    entries = yaml.safe_load(LIST.read_text())
    for entry in entries:
        for key in ("revision", "size", "sha256"):
            entry.pop(key, None)
    path.write_text(yaml.safe_dump(entries))
    return [entry["name"] for entry in entries]


def test_the_documented_command_scores_three_published_models_without_training(tmp_path, serve):
    words = find_command((ROOT / "docs" / "compare.md").read_text())
    assert find_command((ROOT / "README.md").read_text()) == words
    models = words[words.index("--models") + 1 :]
    assert len(models) == 3 and set(models) <= set(list_without_pins(tmp_path / "list.yml"))
    # 16 kHz files store 8000 (facts.md, section 5), as these do
    files = {
        name: save_small_model(tmp_path / f"{seed}.pth", rate=8000, seed=seed).read_bytes()
        for seed, name in enumerate(models)
    }
    hub = serve(files)
    write_folder(tmp_path / "recordings", 2, rate=16000)
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
    own |= {"ASTEROID_CACHE": str(tmp_path / "asteroid"), "CUDA_VISIBLE_DEVICES": ""}
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLIENT, tmp_path / "list.yml", *words],
        **{"cwd": tmp_path, "env": kept | own, "capture_output": True, "text": True},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in models:
        assert f"| {name} |" in done.stdout
    rates = {
        table.stem: read_scores(table)[0].n_samples for table in tmp_path.glob("comparison/*/*")
        if table.suffix == ".csv" and "ConvTasNet" in table.name
    }  # fmt: skip
    assert rates == {name.replace("/", "__"): 8000 if "16k" in name else 4000 for name in models}
    assert (tmp_path / "comparison" / "comparison.html").is_file()
