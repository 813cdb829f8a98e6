"""A distilled student behind HTTP, on FastAPI, ONNX Runtime and tokenizers; it needs neither PyTorch nor kdlib.

STUDENT=en_onnx python app.py    (the folder is one that `kdlib export` wrote; README.md has the other settings)
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tokenizers import Tokenizer


def number(name: str, default: int, least: int = 1, most: int = 10**9) -> int:
    """A whole number from the environment; ends the program with a sentence where it is none."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or not least <= int(value) <= most:
        raise SystemExit(f"{name} is {value!r}: give a whole number from {least} to {most}, such as {default}.")
    return int(value)


MAX_TEXTS, MAX_CHARACTERS = number("MAX_TEXTS", 64), number("MAX_CHARACTERS", 5000)  # of a request, of a text
MAX_BODY, BODY_SECONDS = number("MAX_BODY", 1_000_000), number("BODY_SECONDS", 10)  # bytes of a request, their time to arrive
MAX_BATCH, MAX_WAIT_MS = number("MAX_BATCH", 32), number("MAX_WAIT_MS", 2, least=0)  # texts, the first one's wait for others
MAX_PENDING = number("MAX_PENDING", 512)  # texts without an answer, of all clients together

LOG = logging.getLogger("uvicorn.error")  # what uvicorn shows
disable_created_metrics()
REQUESTS = Counter("student_requests_total", "Requests by path and status code", ["path", "code"])
SECONDS = Histogram("student_request_seconds", "Seconds of POST /classify from its head to its answer",
                    buckets=[0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10])  # fmt: skip
BATCH = Histogram("student_batch_texts", "Texts of a batch", buckets=[1, 2, 4, 8, 16, 32, 64, 128])
TEXTS = Counter("student_texts_total", "Texts classified")
CUT = Counter("student_cut_texts_total", "Texts longer than the student reads, of which it read the beginning")
TOKENS = Counter("student_tokens_total", "Tokens read")
UNKNOWN = Counter("student_unknown_tokens_total", "Tokens read that the student does not know")
PENDING = Gauge("student_pending_texts", "Texts without an answer")


def not_blank(text: str) -> str:
    """``text``, unless there is nothing to read in it."""
    if not text.strip():
        raise ValueError("the text is blank")
    return text


class Texts(BaseModel):
    """What POST /classify takes."""

    texts: list[Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(not_blank)]] = Field(
        min_length=1, max_length=MAX_TEXTS
    )


class Prediction(BaseModel):
    """What the student says of one text."""

    label: str
    probabilities: dict[str, float]
    unknown_share: float = Field(description="Share of the tokens that the student does not know; 1 where there is no token")
    tokens: int = Field(description="Tokens read, without those that frame a text")
    cut: bool = Field(description="Whether the text was longer than the student reads, so that it read only the beginning")


class Student:
    """The ONNX file, tokenizer and class names of a folder that `kdlib export` wrote."""

    def __init__(self, folder: Path, file: str, threads: int) -> None:
        """Load them and predict once; ends the program with a sentence where they do not load."""
        files = (file, "config.json", "tokenizer.json", "tokenizer_config.json")
        if missing := ", ".join(name for name in files if not (folder / name).is_file()):
            raise SystemExit(
                f"{folder} holds no {missing}: set STUDENT to a folder that kdlib export wrote, or MODEL_FILE to its file."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            config, settings = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (files[1], files[3]))
            self.file, self.labels = file, list(config["id2label"].values())
            self.session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))  # cuts as written into it
            self.tokenizer.no_padding()
            self.unknown = self.tokenizer.token_to_id(settings.get("unk_token") or "")  # None: bytes, all of them known
            self.predict(["a text"])
        except Exception as error:
            raise SystemExit(f"The student in {folder} does not run ({error}): write it anew with kdlib export.") from error

    def predict(self, texts: list[str]) -> list[Prediction]:
        """A prediction for each text, run one after the other: on a processor, padding would cost more than a common call saves."""
        batch = self.tokenizer.encode_batch(texts)
        inputs = ({"input_ids": np.array([text.ids]), "attention_mask": np.array([text.attention_mask])} for text in batch)
        logits = np.concatenate([self.session.run(["logits"], one)[0] for one in inputs])
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        predictions = []
        for text, shares in zip(batch, (powers / powers.sum(-1, keepdims=True)).tolist(), strict=True):
            tokens = [token for token, frame in zip(text.ids, text.special_tokens_mask, strict=True) if not frame]
            share = sum(token == self.unknown for token in tokens) / len(tokens) if tokens else 1.0
            named = dict(zip(self.labels, shares, strict=True))
            predictions.append(Prediction(label=max(named, key=named.__getitem__), probabilities=named, unknown_share=share,
                                          tokens=len(tokens), cut=bool(text.overflowing)))  # fmt: skip
        return predictions


class Batcher:
    """Runs what clients send within a few milliseconds as one batch, one batch after the other."""

    def __init__(self, student: Student) -> None:
        self.student, self.thread, self.pending = student, ThreadPoolExecutor(1), 0
        self.queue: asyncio.Queue[tuple[float, str, asyncio.Future[Prediction]]] = asyncio.Queue()  # with the time to wait until
        PENDING.set_function(lambda: self.pending)

    @contextmanager
    def room(self, texts: int) -> Iterator[None]:
        """Room for ``texts`` texts while they are read, wait and run, or the answer 503; where nobody else is, there is room."""
        if self.pending and self.pending + texts > MAX_PENDING:
            raise HTTPException(503, f"{self.pending} texts wait for their answer: try again in a second.", {"Retry-After": "1"})
        self.pending += texts
        try:
            yield
        finally:
            self.pending -= texts

    async def predict(self, texts: list[str]) -> list[Prediction]:
        """A prediction for each text, once its batch has run."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Prediction]] = [loop.create_future() for _ in texts]
        for text, answer in zip(texts, answers, strict=True):
            self.queue.put_nowait((loop.time() + MAX_WAIT_MS / 1000, text, answer))
        return await asyncio.gather(*answers)

    async def run(self) -> None:
        """Batch after batch, for ever."""
        while True:
            jobs = [await self.queue.get()]
            with suppress(TimeoutError):
                async with asyncio.timeout_at(jobs[0][0]):  # past: take what is there, and wait for none
                    while len(jobs) < MAX_BATCH:
                        jobs.append(await self.queue.get())
            BATCH.observe(len(jobs))
            work = asyncio.get_running_loop().run_in_executor(self.thread, self.student.predict, [text for _, text, _ in jobs])
            (outcome,) = await asyncio.gather(work, return_exceptions=True)
            if isinstance(outcome, BaseException):
                LOG.error("A batch failed", exc_info=outcome)
            for i, (_, _, answer) in enumerate(jobs):
                if answer.done():  # its request was given up
                    continue
                if isinstance(outcome, BaseException):
                    answer.set_exception(HTTPException(500, "The student failed on a batch: send the texts one at a time."))
                else:
                    answer.set_result(outcome[i])


class Measure:
    """Counts the answers of ``app`` by path and code, and times those of /classify."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        code, start = 500, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            if scope["type"] == "http":
                path = scope["path"] if scope["path"] in ("/classify", "/health", "/metrics") else "other"
                REQUESTS.labels(path, code).inc()
                if path == "/classify":
                    SECONDS.observe(time.perf_counter() - start)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Batches run while the server does, which ends once every request that it accepted has its answer."""
    app.state.batcher = Batcher(app.state.student)
    app.state.worker = asyncio.create_task(app.state.batcher.run())
    yield
    app.state.worker.cancel()
    answered = REGISTRY.get_sample_value("student_requests_total", {"path": "/classify", "code": "200"}) or 0
    LOG.info("Stopped after %d answers 200 to POST /classify", answered)


app = FastAPI(title="A distilled student", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
app.add_middleware(Measure)


@app.exception_handler(404)
@app.exception_handler(405)
async def lost(request: Request, error: HTTPException) -> JSONResponse:
    """No such path, or no such method there."""
    detail = "There is nothing to be had this way: use POST /classify, GET /health or GET /metrics."
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def read_body(request: Request) -> bytearray:
    """The body of a request, of which never much more than MAX_BODY bytes are kept."""
    body, large = bytearray(), HTTPException(413, f"The body has more than {MAX_BODY} bytes: send the texts in several requests.")
    if int(request.headers.get("content-length", 0)) > MAX_BODY:
        raise large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise large
    except TimeoutError as error:
        late = f"The body took longer than {BODY_SECONDS} s: send it at once."
        raise HTTPException(408, late, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(499, "The client went away.") from error  # nobody reads this, but it is counted
    return body


@app.post("/classify", openapi_extra={"requestBody": {"content": {"application/json": {"schema": Texts.model_json_schema()}}}})
async def classify(request: Request) -> dict[str, list[Prediction]]:
    """Under ``predictions`` what the student says of each text, in their order."""
    batcher: Batcher = request.app.state.batcher
    with batcher.room(1):
        body = await read_body(request)
    try:
        texts = Texts.model_validate_json(body, strict=True).texts
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else part for part in fault["loc"]) or "The body"
        says = fault["msg"].removeprefix("Value error, ")
        remedy = f'send {{"texts": ["a text", …]}} as JSON in UTF-8, 1 to {MAX_TEXTS} texts of 1 to {MAX_CHARACTERS} characters.'
        raise HTTPException(400 if fault["type"] == "json_invalid" else 422, f"{place} will not do ({says}): {remedy}") from error
    with batcher.room(len(texts)):
        predictions = await batcher.predict(texts)
    TEXTS.inc(len(texts))
    CUT.inc(sum(prediction.cut for prediction in predictions))
    TOKENS.inc(sum(prediction.tokens for prediction in predictions))
    UNKNOWN.inc(sum(round(prediction.unknown_share * prediction.tokens) for prediction in predictions))
    return {"predictions": predictions}


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """200 while texts are classified; nothing listens before the student has predicted once."""
    if request.app.state.worker.done():
        raise HTTPException(503, "No texts are classified any more: start the service anew.")
    return {"status": "ready", "model": request.app.state.student.file, "labels": request.app.state.student.labels}


@app.get("/metrics")
async def metrics() -> Response:
    """All counts in the text format of Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread prepares a batch, as one runs it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # before the server handles it, and once it has stopped in good order
    folder, file = Path(os.environ.get("STUDENT", "student")), os.environ.get("MODEL_FILE", "model.int8.onnx")
    app.state.student = Student(folder, file, threads=number("THREADS", 1))
    gc.collect()
    gc.freeze()  # what was loaded stays: to pass over it again and again would hold up requests
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=number("PORT", 8000, least=0, most=65_535), http="h11", ws="none",
                access_log=False, server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=30)  # fmt: skip
