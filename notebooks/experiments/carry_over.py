"""Notebook 13: students in other languages, domains and spellings than those that they learnt from."""

import random
from functools import cache
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.numpy import load_file, save_file

from kdlib import experiment, files
from kdlib.distill import add_teacher_outputs, fingerprint, set_dropout
from kdlib.evaluate import evaluation_mode, predict_logits
from kdlib.losses import soft_target_loss
from kdlib.students import make_student
from kdlib.vocabulary import unknown_rate

from . import table
from .other_texts import CHANGES, DOMAINS, TAUGHT, UNTAUGHT, collected, test_set
from .parallel import parallel

TEXTS = {"zh": 600, "en": 800, "fr": 600, "movie": 800, "amazon": 800, "nl": 400}  # to learn from; English ones are short
PAIRS, EPOCHS, BATCH, RATE = 2000, 5, 16, 3e-4  # epochs and rate: the best of CHOICES on validation texts
CHOICES = [(epochs, rate) for epochs in (3, 5) for rate in (3e-4, 1e-3)]
PAIRED = ["zh", "fr", "nl", "de"]  # with English, in the parallel text


@cache
def lesson(name: str) -> tuple[list[str], list[list[float]]]:
    """Texts to learn from and the teacher's logits of them; in Dutch nobody else has labelled them."""
    data, teacher, settings = table.taught(name if name in TAUGHT else "en")
    if name == "nl":
        tested = set(test_set(name)[0])
        texts = [text for text, _ in collected(name) if text not in tested][: TEXTS[name]]
        return texts, add_teacher_outputs(Dataset.from_dict({"text": texts}), *teacher, settings.max_length)["teacher_logits"]
    rows = [row for split in ("train", "transfer") for row in data[split] if name in TAUGHT or row["source"] == name]
    rows = random.Random(0).sample(rows, TEXTS[name])
    return [row["text"] for row in rows], [row["teacher_logits"] for row in rows]


@cache
def wide() -> list[str]:
    """Texts in five languages, for their pieces alone: what is learnt from in three, Dutch reviews, messages."""
    tested = set(test_set("nl")[0])
    dutch = [text for text, _ in collected("nl") if text not in tested]
    return [text for name in TAUGHT for text in lesson(name)[0]] + dutch + [row[code] for row in messages()[0] for code in ["en", *PAIRED]]


def meanings(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """The mean of the last hidden states over the tokens of each text: [n, hidden]."""
    encoded = tokenizer(texts, truncation=True, max_length=64, padding=True, return_tensors="pt")
    states, mask = model.base_model(**encoded).last_hidden_state, encoded["attention_mask"][..., None]
    return (states * mask).sum(1) / mask.sum(1)


@cache
def messages() -> tuple[list[dict[str, str]], torch.Tensor]:
    """Parallel messages and the teacher's embeddings of the English ones, kept on disk; the first 300 are for testing."""
    teacher, rows = table.taught("en")[1], parallel(*PAIRED)[: 300 + PAIRS]
    texts = [row["en"] for row in rows]

    def build(folder: Any) -> None:
        with evaluation_mode(teacher[0]):
            parts = [meanings(*teacher, texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        save_file({"embeddings": torch.cat(parts).numpy()}, folder / "embeddings.safetensors")

    folder = files.kept("experiments", experiment.digest(fingerprint(*teacher), texts), build)
    return rows, torch.from_numpy(load_file(folder / "embeddings.safetensors")["embeddings"])


def train(model: Any, tokenizer: Any, texts: list[str], logits: Any, seed: int, paired: bool, frozen: bool, epochs: int, rate: float) -> None:
    """Soft targets alone (T = 2), ``epochs`` times over the texts; with ``paired`` also mean squared distance to the teacher's embedding
    of the English message, from it or from one of its translations, drawn at random (Reimers & Gurevych 2020, equation 1)."""
    set_dropout(model, 0.0)
    model.get_input_embeddings().requires_grad_(not frozen)
    draw, goal = random.Random(seed), torch.tensor(logits)
    steps = epochs * -(-len(texts) // BATCH)
    optimizer = torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], lr=rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps), 1.0))
    model.train()
    for _ in range(epochs):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]) * draw.uniform(0.9, 1.1))  # batches of similar length
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        for batch in draw.sample(batches, len(batches)):
            encoded = tokenizer([texts[i] for i in batch], truncation=True, max_length=64, padding=True, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16, enabled=experiment.fast_bf16()):
                loss = soft_target_loss(model(**encoded).logits.float(), goal[batch], 2.0)
                if paired:
                    rows, english = messages()
                    chosen = draw.sample(range(300, len(rows)), BATCH)
                    both = [rows[i][draw.choice(["en", *PAIRED])] for i in chosen]
                    loss = loss + 10 * (meanings(model, tokenizer, both).float() - english[chosen]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def matched(model: Any, tokenizer: Any, language: str) -> float:
    """How often the translation of one of 300 held-out messages is the one nearest to it, by cosine."""
    rows = messages()[0][:300]
    with evaluation_mode(model):
        english, other = (torch.nn.functional.normalize(meanings(model, tokenizer, [row[code] for row in rows]), dim=1) for code in ("en", language))
    return float(((english @ other.T).argmax(1) == torch.arange(len(rows))).float().mean())


def figures(learns: list[str], tests: list[str], vocabulary: str = "own", seed: int = 0, layers: list[int] | None = None, size: int | None = None,
            frozen: bool = False, paired: bool = False, change: str = "", epochs: int = EPOCHS, rate: float = RATE) -> dict[str, Any]:  # fmt: skip
    """One student (the teacher, where it ``learns`` nothing; ``report``: the distilled student of the report for the language of the first
    test), judged on each of the ``tests``; the first is the figure of the row."""
    teacher, settings = table.taught("en")[1:]
    model, tokenizer = teacher
    if learns == ["report"]:
        data = table.taught(tests[0])[0]
        model, tokenizer = experiment.load_student(experiment.train_student("distilled", data, *teacher, settings, seed))
    elif learns:
        texts, logits = ([item for name in learns for item in lesson(name)[part]] for part in (0, 1))
        if change:  # half of the texts in another spelling; the teacher has read the usual one
            texts = [CHANGES[change](text) if i % 2 else text for i, text in enumerate(texts)]
        known = texts + wide() if vocabulary == "wide" else texts
        model, tokenizer = make_student(*teacher, layers or [0], "trim", known, None, None, size)
        train(model, tokenizer, texts, logits, seed, paired, frozen, epochs, rate)
    found = {}
    for name in tests:
        texts, labels = test_set(name)
        if learns:
            logits = predict_logits(model, tokenizer, texts)
        else:
            logits = np.array(add_teacher_outputs(Dataset.from_dict({"text": texts}), *teacher, settings.max_length)["teacher_logits"])
        pieces = sum(map(len, tokenizer(texts)["input_ids"])) / sum(map(len, teacher[1](texts)["input_ids"]))
        found[name] = table.right(labels, logits) | {"unknown": unknown_rate(tokenizer, texts), "pieces": pieces}
        if name in DOMAINS:
            found[name]["margins"] = " ".join(f"{gap:.2f}" for gap in logits[:, 1] - logits[:, 0])
    pairs = {code: matched(model, tokenizer, code) for code in PAIRED} if vocabulary == "wide" or tests[0] == "nl" else {}
    return {**{name: found[tests[0]][name] for name in ("accuracy", "n", "right")}, "tests": found, "matched": pairs, "vocabulary_size": len(tokenizer)}


FIVE = [*UNTAUGHT, *TAUGHT]
SPELLED = {"zh": ["zh", "zh-traditional", "zh-spaced", "mixed-zh", "plain-zh"], "fr": ["fr", "fr-unaccented", "mixed-fr", "plain-fr"], "en": ["en", *DOMAINS]}


def students(seed: int) -> list[dict[str, Any]]:
    """The trainings that are done with each seed, the most important first."""
    found: list[dict[str, Any]] = [{"learns": [name], "tests": [*SPELLED[name], *(other for other in FIVE if other != name)]} for name in TAUGHT]
    found += [{"learns": TAUGHT, "tests": FIVE, "vocabulary": kept} for kept in ("own", "wide")]
    found += [{"learns": ["en"], "tests": FIVE, "vocabulary": "wide", "paired": paired} for paired in (False, True)]
    found += [{"learns": [name], "tests": DOMAINS} for name in ("movie", "amazon")]
    found += [{"learns": [*TAUGHT, "nl"], "tests": FIVE, "vocabulary": "wide"}, {"learns": ["nl"], "tests": UNTAUGHT}]
    found += [{"learns": [name], "tests": SPELLED[name], "change": change} for name, change in (("zh", "traditional"), ("fr", "unaccented"))]
    return [{**row, "seed": seed} for row in found]


ROWS: list[dict[str, Any]] = [{"learns": [], "tests": tests} for tests in (FIVE, *SPELLED.values())]
ROWS += [{"learns": ["report"], "tests": [*tests, *UNTAUGHT], "seed": 0} for tests in SPELLED.values()] + students(0)
ROWS += [{"learns": [name], "tests": [name], "size": size, "seed": 0} for name in ("zh", "fr") for size in (500, 1500, 4000)]
ROWS += [{"learns": TAUGHT, "tests": FIVE, "vocabulary": "wide", "seed": 0, **other} for other in ({"frozen": True}, {"layers": [0, 5, 11]})]
ROWS += [{"learns": [name], "tests": [f"{name}-validation"], "seed": 0, "epochs": epochs, "rate": rate} for name in TAUGHT for epochs, rate in CHOICES]
ROWS += students(1) + students(2)[:7]  # a third seed for the comparison of languages
