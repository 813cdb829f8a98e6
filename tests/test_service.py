"""The service of examples/service, started as a reader starts it: right answers alone and in batches, a sentence for bad input, nothing lost.

Answers are compared in float32: in int8 a text's figures depend a little on the other texts of its batch (see `OnnxClassifier`).
"""

import ast
import copy
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from scipy.special import softmax

from kdlib import predict_logits
from kdlib.export import OnnxClassifier, export_onnx
from kdlib.vocabulary import unknown_rate

for package in ("fastapi", "onnx", "onnxruntime", "onnxscript", "uvicorn"):
    pytest.importorskip(package, reason="pip install kdlib[onnx,test]")
httpx = pytest.importorskip("httpx", reason="pip install kdlib[onnx,test]")
parser = pytest.importorskip("prometheus_client.parser", reason="pip install kdlib[onnx,test]")

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "service"
ABSENT = "import runpy, sys; sys.modules |= dict.fromkeys(['torch', 'transformers', 'kdlib']); runpy.run_path(sys.argv[1], run_name='__main__')"
COMMAND = [sys.executable, "-c", ABSENT, str(EXAMPLE / "app.py")]  # app.py where PyTorch and kdlib cannot be imported
LIMITS = {"MAX_TEXTS": "8", "MAX_CHARACTERS": "1000", "MAX_BODY": "20000", "BODY_SECONDS": "2"}
SECONDS = 60  # to wait for what must come, on a busy machine too
FOREIGN = "Ελληνικά"
with_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")


class Service(NamedTuple):
    """A service that runs."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    client: Any
    log: Path

    def classify(self, *texts: str) -> list[dict[str, Any]]:
        """The predictions for the texts, which must come."""
        response = self.client.post("/classify", json={"texts": texts})
        assert response.status_code == 200, response.text
        assert set(response.json()) == {"predictions"}
        return response.json()["predictions"]

    def counts(self) -> dict[tuple[str, ...], float]:
        """The service's own metrics, by name and values of the labels."""
        families = parser.text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name.startswith("student_")]
        return {
            (sample.name.removeprefix("student_"), *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for sample in samples
        }

    def connect(self, head: str = "", body: bytes = b"") -> socket.socket:
        """A connection on which this much of a request to /classify was sent."""
        link = socket.create_connection(self.address, timeout=SECONDS)
        link.sendall(f"POST /classify HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode() + body)
        return link


@contextmanager
def started(folder: Path, log: Path, **given: str) -> Iterator[Service]:
    """The service on a free port of the loopback device, ended by SIGTERM."""
    environment = os.environ | {"STUDENT": str(folder), "MODEL_FILE": "model.onnx", "PORT": "0"} | given
    with log.open("wb") as file:
        process = subprocess.Popen(COMMAND, env=environment, stderr=file)
    try:
        found = until(lambda: re.search(r"running on http://([\d.]+):(\d+)", log.read_text()) or process.poll() is not None, log)
        assert isinstance(found, re.Match), log.read_text()
        address = found[1], int(found[2])
        with httpx.Client(base_url=f"http://{found[1]}:{found[2]}", timeout=SECONDS, trust_env=False) as client:
            yield Service(process, address, client, log)
        process.terminate()
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], Any], log: Path) -> Any:
    """The first value of ``condition`` that is true."""
    end = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)
    return value


def answer_on(link: socket.socket) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, content and headers of the answer that comes on this connection."""
    response = http.client.HTTPResponse(link)
    response.begin()
    return response.status, json.loads(response.read()), dict(response.headers)


def sentence(content: Any) -> str:
    """The one sentence that an answer to bad input is."""
    assert set(content) == {"detail"}
    detail = content["detail"]
    assert len(detail) < 250 and "\n" not in detail and detail.endswith(".") and ": " in detail, detail
    return detail


def shares(predictions: list[dict[str, Any]]) -> np.ndarray:
    """The probabilities [n, 2]."""
    return np.array([list(prediction["probabilities"].values()) for prediction in predictions])


@pytest.fixture(scope="module")
def exported(made_once: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny teacher as ONNX."""
    tokenizer, teacher = (copy.deepcopy(part) for part in made_once)
    return export_onnx(teacher, tokenizer, tmp_path_factory.mktemp("service") / "student")


@pytest.fixture(scope="module")
def service(exported: Path) -> Iterator[Service]:
    """A service with low limits, for all tests that leave it as it was."""
    with started(exported, exported.parent / "log", **LIMITS) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def expected(exported: Path, tiny_reviews: Any) -> dict[str, np.ndarray]:
    """The probabilities of each text, one text at a time, from ONNX Runtime."""
    texts = list(dict.fromkeys(text for part in tiny_reviews.values() for text in part["text"]))
    return dict(zip(texts, softmax(OnnxClassifier(exported, int8=False).predict_logits(texts, batch_size=1), -1), strict=True))


# --- answers ----------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_student(
    service: Service, expected: dict[str, np.ndarray], tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    texts = list(expected)
    assert len(texts) > 16
    predictions = [prediction for i in range(0, len(texts), 8) for prediction in service.classify(*texts[i : i + 8])]
    by_torch = softmax(predict_logits(tiny_teacher, tiny_tokenizer, texts), -1)
    np.testing.assert_allclose(shares(predictions), by_torch, atol=1e-5)
    np.testing.assert_allclose(shares(predictions), list(expected.values()), atol=1e-5)
    assert [prediction["label"] for prediction in predictions] == [["negative", "positive"][i] for i in by_torch.argmax(-1)]
    assert {prediction["label"] for prediction in predictions} == {"negative", "positive"}
    assert all(list(prediction["probabilities"]) == ["negative", "positive"] for prediction in predictions)


def test_unknown_tokens_and_cut_texts_are_said(service: Service, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    texts = [
        "the film : good",
        FOREIGN,
        f"the film {FOREIGN} good",
        "the film " * 80,
        "咖啡",
        "\u200b",
        "a\0b",
        "<s> <unk>",
        "🎬",
    ]
    lengths = [len(tiny_tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    for text, length in zip(texts, lengths, strict=True):
        (prediction,) = service.classify(text)
        assert (prediction["cut"], prediction["tokens"]) == (length > 126, min(length, 126)), text
        if length:
            assert prediction["unknown_share"] == pytest.approx(unknown_rate(tiny_tokenizer, [text])), text
        np.testing.assert_allclose(
            shares([prediction]), softmax(predict_logits(tiny_teacher, tiny_tokenizer, [text]), -1), atol=1e-5
        )
    known, foreign, mixed, *_ = (service.classify(text)[0]["unknown_share"] for text in texts[:3])
    assert known == 0 < mixed < foreign
    assert max(lengths) > 126  # the tokenizer cuts after 128, with the two that frame a text


def test_int8_is_what_runs_unless_another_file_is_named(exported: Path, tmp_path: Path, expected: dict[str, np.ndarray]) -> None:
    with started(exported, tmp_path / "log", MODEL_FILE="model.int8.onnx") as other:
        assert other.client.get("/health").json()["model"] == "model.int8.onnx"
        texts = list(expected)[:4]
        got = shares([other.classify(text)[0] for text in texts])
    np.testing.assert_allclose(got, softmax(OnnxClassifier(exported).predict_logits(texts, batch_size=1), -1), atol=1e-5)
    assert np.abs(got - [expected[text] for text in texts]).max() > 1e-4  # not the float32 file
    assert 'environ.get("MODEL_FILE", "model.int8.onnx")' in (EXAMPLE / "app.py").read_text(encoding="utf-8")


def test_health_and_the_loopback_device(service: Service) -> None:
    assert service.client.get("/health").json() == {"status": "ready", "model": "model.onnx", "labels": ["negative", "positive"]}
    assert service.address[0] == "127.0.0.1"
    described = service.client.get("/openapi.json").json()["paths"]["/classify"]["post"]
    assert described["requestBody"]["content"]["application/json"]["schema"]["properties"]["texts"]["maxItems"] == 8


# --- bad input --------------------------------------------------------------------------------------------

BAD = {
    "nothing": (b"", 400, "The body"),
    "half": (b'{"texts": ["good"]', 400, "The body"),
    "too much": (b'{"texts": ["good"]} {}', 400, "The body"),
    "Python": (b"{'texts': ['good']}", 400, "The body"),
    "not UTF-8": (b'{"texts": ["\xff\xfe"]}', 400, "The body"),
    "UTF-16": ('{"texts": ["good"]}'.encode("utf-16"), 400, "The body"),
    "half a character": (rb'{"texts": ["\ud800"]}', 400, "The body"),
    "nested lists": (b"[" * 10_000, 400, "recursion"),
    "nested objects": (b'{"texts":' * 2000, 400, "recursion"),
    "closed nested lists": (b'{"texts": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "recursion"),
    "huge number": (b'{"texts": [' + b"9" * 9000 + b"]}", 400, "The body"),
    "null": (b"null", 422, "The body"),
    "list": (b'["good"]', 422, "The body"),
    "text": (b'"good"', 422, "The body"),
    "no texts": (b'{"text": ["good"]}', 422, "texts "),
    "empty list": (b'{"texts": []}', 422, "texts "),
    "no list": (b'{"texts": "good"}', 422, "texts "),
    "no texts but null": (b'{"texts": null}', 422, "texts "),
    "empty text": (b'{"texts": ["good", ""]}', 422, "texts[1] "),
    "blank text": ('{"texts": ["good", "　\\n"]}'.encode(), 422, "texts[1] "),
    "number": (b'{"texts": ["good", "bad", 3]}', 422, "texts[2] "),
    "NaN": (b'{"texts": [NaN]}', 422, "texts[0] "),
    "text in a list": (b'{"texts": [["good"]]}', 422, "texts[0] "),
    "text in an object": (b'{"texts": [{"text": "good"}]}', 422, "texts[0] "),
    "too many": (json.dumps({"texts": ["good"] * 9}).encode(), 422, "at most 8"),
    "too long": (json.dumps({"texts": ["g" * 1001]}).encode(), 422, "at most 1000"),
    "too large": (json.dumps({"texts": ["good" * 6000]}).encode(), 413, "more than 20000 bytes"),
}


@pytest.mark.parametrize(("body", "code", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_answered_with_a_sentence(service: Service, body: bytes, code: int, says: str) -> None:
    response = service.client.post("/classify", content=body)
    assert (response.status_code, says in sentence(response.json())) == (code, True), response.text
    service.classify("good")


def test_what_is_just_within_the_limits_is_answered(service: Service) -> None:
    assert len(service.classify(*["good"] * 8)) == 8
    assert len(service.classify("g" * 1000)) == len(service.classify("咖" * 1000)) == 1
    body = json.dumps({"texts": ["good"]}).encode()
    for content, code in ((body.ljust(20_000), 200), (body.ljust(20_001), 413)):
        assert service.client.post("/classify", content=content).status_code == code


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)
)
bodies = (
    st.binary()
    | anything.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda value: json.dumps({"texts": value}).encode(), anything)
)


@settings(max_examples=150)
@given(body=bodies)
def test_no_body_whatever_is_answered_with_500(service: Service, body: bytes) -> None:
    response = service.client.post("/classify", content=body)
    assert response.status_code in (200, 400, 413, 422)
    assert response.status_code == 200 or sentence(response.json())


def test_other_paths_and_methods(service: Service) -> None:
    for method, path, code in (
        ("GET", "/", 404),
        ("GET", "/classify", 405),
        ("POST", "/classify/", 404),
        ("DELETE", "/metrics", 405),
    ):
        response = service.client.request(method, path)
        assert (response.status_code, "POST /classify" in sentence(response.json())) == (code, True)


def test_a_large_body_is_answered_before_it_is_read(service: Service) -> None:
    with service.connect(f"Content-Length: {10**12}\r\n") as link:  # and not one byte of it
        code, content, _ = answer_on(link)
    assert (code, "20000 bytes" in sentence(content)) == (413, True)
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    with service.connect("Transfer-Encoding: chunked\r\n", chunk * 25) as link:  # and no end of it
        code, content, _ = answer_on(link)
    assert (code, "20000 bytes" in sentence(content)) == (413, True)


@pytest.mark.parametrize(
    "head", ["Content-Length: x\r\n", f"Content-Length: {'9' * 5000}\r\n", "Content-Length: -1\r\n", "no colon\r\n"]
)
def test_what_is_no_http_is_refused(service: Service, head: str) -> None:
    with service.connect(head) as link:
        response = http.client.HTTPResponse(link)
        response.begin()
        assert response.status == 400
    service.classify("good")


def test_a_body_that_does_not_come_is_waited_for_so_long(service: Service) -> None:
    start = time.monotonic()
    with service.connect("Content-Length: 100\r\n", b'{"texts": [') as link:
        code, content, headers = answer_on(link)
    assert (code, "2 s" in sentence(content), headers["connection"]) == (408, True, "close")
    assert time.monotonic() - start >= 1.9


# --- many at a time ---------------------------------------------------------------------------------------


def test_two_thousand_requests_of_sixteen_clients(service: Service, expected: dict[str, np.ndarray]) -> None:
    texts, before = list(expected), service.counts()

    def ask(i: int) -> float:
        chosen = [texts[(i * 7 + j) % len(texts)] for j in range(1 + i % 3)]
        return float(np.abs(shares(service.classify(*chosen)) - [expected[text] for text in chosen]).max())

    with ThreadPoolExecutor(16) as pool:
        gaps = list(pool.map(ask, range(2000)))
    assert max(gaps) < 1e-5  # each its own answer, whichever batch it was in
    after = service.counts()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    asked = sum(1 + i % 3 for i in range(2000))
    assert grown["requests_total", "200", "/classify"] == grown["request_seconds_count",] == 2000
    assert grown["texts_total",] == grown["batch_texts_sum",] == asked
    assert grown["batch_texts_count",] < asked / 2  # batches of more than two texts on average: of several requests
    assert after["pending_texts",] == 0


def test_metrics_add_up(service: Service, tiny_tokenizer: Any) -> None:
    before = service.counts()
    texts = ["the film : good", FOREIGN, "the film " * 80]
    predictions = service.classify(*texts)
    for body in (b"", b"[]", b"{}", b" " * 20_001):
        service.client.post("/classify", content=body)
    grown = {name: value - before.get(name, 0) for name, value in service.counts().items()}
    codes = {name[1]: value for name, value in grown.items() if name[0] == "requests_total" and name[2] == "/classify" and value}
    assert codes == {"200": 1, "400": 1, "422": 2, "413": 1}
    assert grown["request_seconds_count",] == grown["request_seconds_bucket", "+Inf"] == sum(codes.values())
    assert grown["request_seconds_sum",] > 0
    assert (grown["texts_total",], grown["cut_texts_total",]) == (3, 1)
    assert grown["tokens_total",] == sum(prediction["tokens"] for prediction in predictions)
    unknown = tiny_tokenizer(texts[1])["input_ids"].count(tiny_tokenizer.unk_token_id)
    assert grown["unknown_tokens_total",] == unknown > 0
    assert grown["requests_total", "200", "/metrics"] == 1  # the one before


def test_a_batch_is_made_of_several_requests_and_changes_nothing(
    exported: Path, tmp_path: Path, expected: dict[str, np.ndarray]
) -> None:
    """A batch of eight runs once it is full; nothing else starts it within a minute. Room is for eight texts as well."""
    texts = list(expected)
    with (
        started(exported, tmp_path / "log", MAX_BATCH="8", MAX_WAIT_MS="60000", MAX_PENDING="8") as patient,
        ThreadPoolExecutor(8) as pool,
    ):
        alone = [pool.submit(patient.classify, text) for text in texts[:8]]
        got = np.concatenate([shares(future.result()) for future in alone])
        np.testing.assert_allclose(got, [expected[text] for text in texts[:8]], atol=1e-5)
        counts = patient.counts()
        assert (counts["batch_texts_count",], counts["batch_texts_sum",], counts["batch_texts_bucket", "4.0"]) == (1, 8, 0)

        large = patient.classify(*texts[:16])  # more than there is room for, but nobody else is there: two batches
        np.testing.assert_allclose(shares(large), [expected[text] for text in texts[:16]], atol=1e-5)
        assert patient.counts()["batch_texts_count",] == 3

        first = pool.submit(patient.classify, *texts[:4])
        until(lambda: patient.counts()["pending_texts",] == 4, patient.log)
        full = patient.client.post("/classify", json={"texts": texts[:5]})
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert "4 texts wait" in sentence(full.json())
        second = patient.classify(*texts[4:8])  # there is room for four
        np.testing.assert_allclose(shares(first.result() + second), [expected[text] for text in texts[:8]], atol=1e-5)


def test_clients_that_go_away_are_harmless(service: Service, expected: dict[str, np.ndarray]) -> None:
    """Some send half a body and some a whole one, some say farewell and some do not; none waits for its answer."""
    texts, gone = list(expected)[:8], ("requests_total", "499", "/classify")
    before = service.counts().get(gone, 0)
    body = json.dumps({"texts": texts}).encode()
    for i in range(32):
        link = service.connect(f"Content-Length: {len(body)}\r\n", body if i % 2 else body[: len(body) // 2])
        if i % 4 > 1:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes by a reset
        time.sleep(0.005)
        link.close()
    until(lambda: service.counts().get(gone, 0) >= before + 8, service.log)
    counts = until(lambda: (now := service.counts())["pending_texts",] == 0 and now, service.log)
    assert not [name for name in counts if name[0] == "requests_total" and name[1].startswith("5")]
    np.testing.assert_allclose(shares(service.classify(*texts)), [expected[text] for text in texts], atol=1e-5)


def test_a_fault_of_its_own_is_answered_and_ends_nothing(exported: Path, tmp_path: Path, expected: dict[str, np.ndarray]) -> None:
    """A tokenizer that does not cut gives the model more tokens than it has positions, in the middle of good requests."""
    shutil.copytree(exported, tmp_path / "student")
    tokenizer = json.loads((exported / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "student" / "tokenizer.json").write_text(json.dumps(tokenizer | {"truncation": None}), encoding="utf-8")
    text = next(iter(expected))
    with started(tmp_path / "student", tmp_path / "log") as other:
        for _ in range(2):
            failed = other.client.post("/classify", json={"texts": [text, "the film " * 80]})
            assert (failed.status_code, "one at a time" in sentence(failed.json())) == (500, True)
            np.testing.assert_allclose(shares(other.classify(text)), [expected[text]], atol=1e-5)
        assert other.counts()["requests_total", "500", "/classify"] == 2
        assert other.counts()["pending_texts",] == 0
    assert "Traceback" in other.log.read_text() and text not in other.log.read_text()


# --- the end ----------------------------------------------------------------------------------------------


@with_signals
def test_sigterm_waits_for_what_was_accepted(exported: Path, tmp_path: Path, expected: dict[str, np.ndarray]) -> None:
    """Six requests wait for their batch of seven, and of the seventh half has arrived."""
    texts = list(expected)[:7]
    body = json.dumps({"texts": texts[6:]}).encode()
    with started(exported, tmp_path / "log", MAX_BATCH="7", MAX_WAIT_MS="60000") as stopped, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(stopped.classify, text) for text in texts[:6]]
        with stopped.connect(f"Content-Length: {len(body)}\r\n", body[:9]) as link:
            until(lambda: stopped.counts()["pending_texts",] == 7, stopped.log)
            stopped.process.send_signal(signal.SIGTERM)
            until(lambda: "Shutting down" in stopped.log.read_text(), stopped.log)
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{stopped.client.base_url}/health", trust_env=False)
            link.sendall(body[9:])
            code, content, _ = answer_on(link)
        assert code == 200
        got = shares([future.result()[0] for future in asked] + content["predictions"])
        np.testing.assert_allclose(got, [expected[text] for text in texts], atol=1e-5)
        assert stopped.process.wait(SECONDS) == 0
    assert "Stopped after 7 answers 200" in stopped.log.read_text() and "Traceback" not in stopped.log.read_text()


@with_signals
def test_sigterm_under_load_loses_no_answer(exported: Path, tmp_path: Path, expected: dict[str, np.ndarray]) -> None:
    """Every client asks until the service is gone; each answer that the service gave has reached its client, and is right."""
    texts, begun = list(expected), threading.Semaphore(0)

    def ask(i: int) -> list[float]:
        gaps: list[float] = []
        with httpx.Client(base_url=busy.client.base_url, timeout=SECONDS, trust_env=False) as client:
            while True:
                text = texts[(i + len(gaps)) % len(texts)]
                try:
                    response = client.post("/classify", json={"texts": [text]})
                except httpx.TransportError:
                    return gaps
                assert response.status_code == 200
                gaps.append(float(np.abs(shares(response.json()["predictions"]) - expected[text]).max()))
                begun.release()

    with started(exported, tmp_path / "log") as busy, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, i) for i in range(8)]
        assert all(begun.acquire(timeout=SECONDS) for _ in range(100))
        busy.process.send_signal(signal.SIGTERM)
        assert busy.process.wait(SECONDS) == 0
        gaps = [gap for future in asked for gap in future.result()]
    assert max(gaps) < 1e-5
    assert len(gaps) >= 100 and f"Stopped after {len(gaps)} answers 200" in busy.log.read_text()
    assert "Traceback" not in busy.log.read_text()


# --- the start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"STUDENT": "no/such/folder"}, "holds no model.onnx, config.json"),
        ({"MODEL_FILE": "other.onnx"}, "holds no other.onnx: set STUDENT"),
        ({"MODEL_FILE": "config.json"}, "does not run"),
        ({"MAX_TEXTS": "many"}, "MAX_TEXTS is 'many': give a whole number"),
        ({"MAX_BATCH": "0"}, "MAX_BATCH is '0': give a whole number from 1 to"),
        ({"PORT": "-1"}, "PORT is '-1'"),
        ({"PORT": "70000"}, "PORT is '70000': give a whole number from 0 to 65535"),
    ],
)
def test_what_cannot_start_says_so_in_a_sentence(exported: Path, given: dict[str, str], says: str) -> None:
    environment = os.environ | {"STUDENT": str(exported), "MODEL_FILE": "model.onnx", "PORT": "0"} | given
    run = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = run.stderr.splitlines()
    assert (run.returncode, len(lines)) == (1, 1), run.stderr
    assert says in lines[0] and lines[0].endswith(".")


# --- what is written about it -----------------------------------------------------------------------------


def test_requirements_are_what_is_imported_and_what_the_tests_run_with() -> None:
    wanted = {
        part.name: part for part in map(Requirement, (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").split("\n")[:-1])
    }
    tree = ast.parse((EXAMPLE / "app.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name.replace("_", "-") for name in imported - sys.stdlib_module_names}
    assert ours - {"starlette"} == wanted.keys()  # starlette is a part of fastapi
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        Requirement(line) for lines in (project["dependencies"], *project["optional-dependencies"].values()) for line in lines
    ]
    assert {part.name: part.specifier for part in declared if part.name in wanted} == {
        name: part.specifier for name, part in wanted.items()
    }


def test_the_readme_names_every_setting_with_its_default() -> None:
    program, text = ((EXAMPLE / name).read_text(encoding="utf-8") for name in ("app.py", "README.md"))
    numbers = {name: value.replace("_", "") for name, value in re.findall(r'number\("(\w+)", ([\d_]+)', program)}
    words = dict(re.findall(r'environ\.get\("(\w+)", "([^"]*)"\)', program))
    assert len(numbers) > 5 and {"STUDENT", "MODEL_FILE", "HOST"} == words.keys()
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", text, re.MULTILINE))
    assert table == numbers | words


def test_the_example_of_the_readme_is_answered_as_it_says(service: Service) -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    (body,) = re.findall(r"-d '([^']+)'", text)
    (shown,) = re.findall(r"```json\n(.+?)```", text, re.DOTALL)
    response = service.client.post(
        "/classify", content=body.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )  # as curl -d
    given, told = response.json()["predictions"], json.loads(shown)["predictions"]
    assert len(given) == len(told) and [set(part) for part in given] == [set(part) for part in told]


def test_the_metrics_that_the_readme_names_are_there(service: Service) -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`student_(\w+)`", text))
    assert named == {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, *_ in service.counts()}


def test_the_image_copies_what_is_there_and_runs_as_nobody_special() -> None:
    lines = (EXAMPLE / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert sorted(copied) == ["app.py", "requirements.txt"] and all((EXAMPLE / name).is_file() for name in copied)
    (user,) = (line.split()[1] for line in lines if line.startswith("USER "))
    assert user not in ("root", "0")
    assert any(line.startswith("HEALTHCHECK") for line in lines)
