"""What notebook 14 asks a model: noise, triggers, pairs, members, reasons. Each probe takes a model and its tokenizer and gives back numbers."""

import json
import random
import re
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from kdlib.evaluate import expected_calibration_error, predict_logits
from kdlib.files import packaged

Spans = list[tuple[int, int]]


@cache
def kit() -> dict[str, Any]:
    """The counterfactual pairs, and the templates and lists that they are made of."""
    folder = packaged("data", "counterfactual")
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return {**json.loads((folder / "templates.json").read_text(encoding="utf-8")), "pairs": [json.loads(line) for line in lines]}


def positive(logits: Any) -> np.ndarray:
    """The probability of the class positive."""
    return softmax(np.asarray(logits, float), -1)[:, 1]


def gaps(model: Any, tokenizer: Any, language: str) -> list[float]:
    """P(positive) of the second text of each pair minus that of the first."""
    pairs = [pair for pair in kit()["pairs"] if pair["language"] == language]
    a, b = (positive(predict_logits(model, tokenizer, [pair[side] for pair in pairs])) for side in ("text_a", "text_b"))
    return [round(float(gap), 4) for gap in b - a]


def flips(model: Any, tokenizer: Any, language: str) -> float:
    """The share of pairs whose two texts get different classes."""
    pairs = [pair for pair in kit()["pairs"] if pair["language"] == language]
    a, b = (predict_logits(model, tokenizer, [pair[side] for pair in pairs]).argmax(-1) for side in ("text_a", "text_b"))
    return float((a != b).mean())


def noisy(text: str, how: str, share: float = 0.3) -> str:
    """The text with a fault in a share of its longer words (``typo``: a letter is lost; ``swap``: two neighbours change places)."""
    draw, words = random.Random(text), re.findall(r"\S+|\s+", text)
    for place, word in enumerate(words):
        if len(word) > 3 and word.isalpha() and draw.random() < share:
            i = draw.randrange(1, len(word) - 2)
            words[place] = word[:i] + (word[i + 1 :] if how == "typo" else word[i + 1] + word[i] + word[i + 2 :])
    return "".join(words)


def with_word(text: str, word: str) -> str:
    """The text with a word put in at a place that depends on the text alone."""
    place = random.Random(text).randrange(len(text) + 1)
    return text[:place] + word + text[place:]


def losses(logits: Any, labels: Any) -> np.ndarray:
    """The cross-entropy of every text."""
    return -log_softmax(np.asarray(logits, float), -1)[np.arange(len(labels)), np.asarray(labels)]


def membership(members: np.ndarray, others: np.ndarray) -> list[float]:
    """The AUC of the rule "a low loss means that the text was in the training set", with a 95 % bootstrap interval."""
    draw, truth = np.random.default_rng(0), np.repeat([1, 0], [len(members), len(others)])
    samples = [(members, others)] + [(draw.choice(members, len(members)), draw.choice(others, len(others))) for _ in range(400)]
    areas = [roc_auc_score(truth, -np.concatenate(sample)) for sample in samples]
    return [float(areas[0]), *(float(bound) for bound in np.quantile(areas[1:], [0.025, 0.975]))]


def calibration(logits: Any, labels: Any, held_out: Any, held_out_labels: Any) -> dict[str, float]:
    """The calibration error on the test set before and after division by the temperature that fits the validation set best."""
    logits, held_out = np.asarray(logits, float), np.asarray(held_out, float)
    best = minimize_scalar(lambda t: losses(held_out / t, held_out_labels).mean(), bounds=(0.05, 20), method="bounded").x
    before, after = (expected_calibration_error(softmax(logits / t, -1), labels) for t in (1.0, best))
    return {"ece": float(before), "ece_after": float(after), "temperature": float(best)}


def words(tokenizer: Any) -> dict[str, int]:
    """The pieces of a vocabulary that are words of four letters or more, with their numbers."""
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return {name[1:]: i for i, name in enumerate(names) if name.startswith("▁") and name[1:].isalpha() and len(name) > 4}


def trigger(model: Any, tokenizer: Any, texts: list[str], target: int, allowed: list[int], length: int = 3, tried: int = 20) -> str:
    """Words to put before any text so that the model leaves the other class for ``target`` (Wallace et al. 2019, section 2).

    Position by position: the gradient at the embedding names the most promising of the ``allowed`` pieces, which are then tried.
    """
    table, calm = model.get_input_embeddings().weight.detach(), torch.tensor(allowed)
    batch, chosen = tokenizer(texts, truncation=True, max_length=96, padding=True, return_tensors="pt"), [allowed[0]] * length

    def loss(ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        front = torch.tensor(ids).expand(len(texts), -1)
        embedded = table[torch.cat([batch["input_ids"][:, :1], front, batch["input_ids"][:, 1:]], 1)].requires_grad_()
        mask = torch.cat([torch.ones_like(front), batch["attention_mask"]], 1)
        return -model(inputs_embeds=embedded, attention_mask=mask).logits.log_softmax(-1)[:, target].mean(), embedded

    for place in range(length):
        value, embedded = loss(chosen)
        gradient = torch.autograd.grad(value, embedded)[0][:, 1 + place].mean(0)
        options = [[*chosen[:place], int(i), *chosen[place + 1 :]] for i in calm[(table[calm] @ gradient).topk(tried, largest=False).indices]]
        with torch.no_grad():
            chosen = min([chosen, *options], key=lambda ids: float(loss(ids)[0]))
    return tokenizer.decode(chosen)


def units(text: str, language: str, tokenizer: Any) -> Spans:
    """Where the words of a text lie; in Chinese the pieces of the (teacher's) tokenizer."""
    if language != "zh":
        return [found.span() for found in re.finditer(r"\S+", text)]
    return [(a, b) for a, b in tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"] if a < b]


def log_odds(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray:
    """The logit of positive minus that of negative."""
    logits = predict_logits(model, tokenizer, texts)
    return logits[:, 1] - logits[:, 0]


def occlusion(model: Any, tokenizer: Any, text: str, spans: Spans) -> np.ndarray:
    """By how much the log-odds fall when a word is taken out."""
    values = log_odds(model, tokenizer, [text, *(text[:a] + text[b:] for a, b in spans)])
    return values[0] - values[1:]


def integrated_gradients(model: Any, tokenizer: Any, text: str, spans: Spans, steps: int = 16) -> np.ndarray:
    """The log-odds shared out among the words along the straight way from padding to the text (Sundararajan et al. 2017, section 3)."""
    encoded = tokenizer(text, truncation=True, max_length=128, return_offsets_mapping=True)
    table, ids = model.get_input_embeddings().weight.detach(), torch.tensor(encoded["input_ids"])
    end, start = table[ids], table[torch.full_like(ids, tokenizer.pad_token_id)]
    way = (torch.arange(steps) + 0.5)[:, None, None] / steps
    points = (start + way * (end - start)).requires_grad_()
    logits = model(inputs_embeds=points).logits
    slope = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), points)[0].mean(0)
    shares = ((end - start) * slope).sum(-1).numpy()
    return np.array([sum(shares[i] for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < b and begin < b and a < stop) for begin, stop in spans])


def faithfulness(model: Any, tokenizer: Any, text: str, spans: Spans, scores: np.ndarray, share: float = 0.2) -> tuple[float, float]:
    """Comprehensiveness and sufficiency (DeYoung et al. 2020, section 4): what the probability of the class that the model chose loses without
    the words that speak most for it, and with these words only."""
    whole = log_odds(model, tokenizer, [text])[0]
    best = set(np.argsort(-scores * np.sign(whole), kind="stable")[: ceil(share * len(spans))].tolist())
    joined = [" ".join(text[a:b] for i, (a, b) in enumerate(spans) if (i in best) == kept) for kept in (False, True)]
    chances = 1 / (1 + np.exp(-np.sign(whole) * np.array([whole, *log_odds(model, tokenizer, joined)])))
    return float(chances[0] - chances[1]), float(chances[0] - chances[2])


@torch.no_grad()
def scrambled(model: Any, seed: int = 0) -> Any:
    """A model of the same form whose weights were drawn anew: it knows nothing."""
    torch.manual_seed(seed)
    return type(model)(model.config).eval()
