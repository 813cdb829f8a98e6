"""Which head for E5: the pooler on <s>, trained from scratch, or mean pooling as in its pre-training? And adapter or full?

Same rows, epochs and seed for each; validation accuracy by language. The mean-pooling head is the one variant that
would not be a plain `AutoModelForSequenceClassification` checkpoint.
Run: python benchmarks/pooling.py [rows] [epochs]   (500 and 1 unless given; five minutes with 300 1)
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

import kdlib
from kdlib.experiment import fast_bf16
from kdlib.measure import environment


class MeanPooling(torch.nn.Module):
    """Stands in for BERT's pooler: the mean over tokens that are no padding, then the same dense layer and tanh."""

    mask: torch.Tensor  # of the class, because LoRA trains a copy of the module

    def __init__(self, pooler: torch.nn.Module) -> None:
        super().__init__()
        self.dense = pooler.dense

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Pool [B, S, H] to [B, H]."""
        weights = self.mask.unsqueeze(-1).to(hidden.dtype)
        return torch.tanh(self.dense((hidden * weights).sum(1) / weights.sum(1)))


class MeanPooledBert(BertForSequenceClassification):
    """The same classifier over the mean of the tokens."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        """Hand the mask to the pooler, then as in BERT."""
        MeanPooling.mask = attention_mask
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **kwargs)


def main(rows: int = 500, epochs: float = 1) -> None:
    """Train the variants and write their validation accuracies."""
    data = {language: kdlib.load_reviews(language) for language in ("zh", "en")}
    train = [part["train"].select(range(rows)) for part in data.values()]
    validation = [part["validation"] for part in data.values()]
    results = {}
    for head in ("pooler on <s>", "mean pooling"):
        for method in ("lora", "full"):
            torch.manual_seed(0)
            model, tokenizer = kdlib.load_teacher(adapter=None)
            if head == "mean pooling":
                model.__class__ = MeanPooledBert
                model.bert.pooler = MeanPooling(model.bert.pooler)
            model = kdlib.finetune_teacher(model, tokenizer, train, validation, method=method, num_train_epochs=epochs, bf16=fast_bf16())
            accuracy = {}
            for language, part in data.items():
                logits = kdlib.predict_logits(model, tokenizer, part["validation"]["text"])
                accuracy[language] = float((logits.argmax(-1) == np.array(part["validation"]["label"])).mean())
            results[f"{head}, {method}"] = accuracy
            print(head, method, accuracy, flush=True)
    report = {"rows_a_language": rows, "epochs": epochs, "validation_accuracy": results, **environment()}
    (Path(__file__).parent / "results" / "pooling.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*(float(argument) if "." in argument else int(argument) for argument in sys.argv[1:]))
