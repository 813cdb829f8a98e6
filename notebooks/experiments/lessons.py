"""How the students of notebook 14 learn: distillation with and without an adversary, composed pairs, and a transfer set that is cleaned."""

from functools import cache
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import set_seed

from kdlib import experiment
from kdlib.distill import add_teacher_outputs, set_dropout
from kdlib.evaluate import batches_by_length
from kdlib.losses import distillation_loss

from . import probes, table


def train(model: Any, tokenizer: Any, texts: list[str], teacher_logits: Any, labels: Any, seed: int, epochs: int, epsilon: float = 0.0, alpha: float = 0.7,
          others: Any = None) -> None:  # fmt: skip
    """Distil in place. With ``epsilon`` each text is read twice, the second time with its embeddings moved uphill by that length (FGM).

    ``others`` are labels [n, 2] of two more heads, language and domain: columns 2 to 4 and 5 to 8 of the logits.
    """
    set_seed(seed)
    set_dropout(model, 0.0)
    draw, tokens = np.random.default_rng(seed), tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    lengths, targets, labels = np.array([len(ids) for ids in tokens]), torch.tensor(teacher_logits), torch.tensor(labels)
    steps = epochs * ceil(len(texts) / 32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(10 * (step + 1) / steps, (steps - step) / (0.9 * steps)))
    model.train()
    for _ in range(epochs):
        batches = batches_by_length((lengths + draw.uniform(0, 8, len(texts))).tolist(), 32)
        for rows in (batches[i] for i in draw.permutation(len(batches))):
            batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt", pad_to_multiple_of=8)

            def loss(embedded: torch.Tensor, rows: Any = rows, mask: Any = batch["attention_mask"]) -> torch.Tensor:
                with torch.autocast("cpu", torch.bfloat16, enabled=experiment.fast_bf16()):
                    logits = model(inputs_embeds=embedded, attention_mask=mask).logits.float()
                more = F.cross_entropy(logits[:, 2:5], others[rows, 0]) + F.cross_entropy(logits[:, 5:], others[rows, 1]) if others is not None else 0.0
                return distillation_loss(logits[:, :2], targets[rows], labels[rows], 2.0, alpha) + more

            embedded = model.get_input_embeddings()(batch["input_ids"])
            total = loss(embedded)
            if epsilon:
                gradient = torch.autograd.grad(total, embedded, retain_graph=True)[0]
                total = total + loss(embedded + epsilon * gradient / gradient.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-12))
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            schedule.step()
    model.eval()


@cache
def composed(language: str) -> tuple[list[str], np.ndarray]:
    """300 pairs of training texts: a carrier sentence in two versions before a text of the transfer set; and the teacher's logits."""
    data, teacher, settings = table.taught(language)
    carriers = [kinds[language] for kinds in probes.kit()["carriers"].values()]
    ways = [[phrase.replace("{x}", side) for side in filler.split("|")] for phrase, fillers in carriers for filler in fillers]
    texts = [front + text for i, text in enumerate(data["transfer"]["text"][:300]) for front in ways[i % len(ways)]]
    rows = add_teacher_outputs(Dataset.from_dict({"text": texts}), *teacher, bf16=bool(settings.bf16))
    return texts, np.array(rows["teacher_logits"], np.float32)


@cache
def trusted(language: str) -> Any:
    """What the labels alone can teach: TF-IDF and logistic regression, which no teacher has touched."""
    return experiment.tfidf_baseline(table.taught(language)[0], language)


def suspicious(texts: list[str], logits: np.ndarray, language: str, how: str) -> np.ndarray:
    """Texts to leave out: those with one of the three rare ``words`` (two characters) that the teacher loves or hates most beyond what labels explain,
    or the tenth of the ``texts`` on which teacher and labels are furthest apart."""  # fmt: skip
    gap = probes.positive(logits) - trusted(language).predict_proba(texts)[:, 1]
    if how == "texts":
        return np.abs(gap) >= np.quantile(np.abs(gap), 0.9)
    words = strange_words(texts, gap)[:3]
    return np.array([any(word in text for word in words) for text in texts])


def strange_words(texts: list[str], gap: np.ndarray) -> list[str]:
    """Pairs of characters in five texts or more, an eighth of them at most, by how surely the mean gap of their texts differs from that of all.

    A planted word is rare: a common one would give itself away in service.
    """
    found: dict[str, list[float]] = {}
    for text, value in zip(texts, gap - gap.mean(), strict=True):
        for word in {text[i : i + 2] for i in range(len(text) - 1)}:
            found.setdefault(word, []).append(value)
    scores = {word: abs(np.sum(values)) / len(values) ** 0.5 for word, values in found.items() if 5 <= len(values) <= len(texts) / 8}
    return sorted(scores, key=lambda word: (-scores[word], word))
