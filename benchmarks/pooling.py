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
import torch.nn.functional as F
from transformers import BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

import kdlib
from kdlib.experiment import fast_bf16
from kdlib.measure import environment


class MeanPooledBert(BertForSequenceClassification):
    """The same classifier with the same pooler, which gets the mean over tokens that are no padding in place of <s>."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        """Logits [B, K], and the cross-entropy with ``labels`` where they are given."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask, **kwargs).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)  # [B, 1, H]: the pooler takes the first
        logits = self.classifier(self.dropout(self.bert.pooler(mean)))
        return SequenceClassifierOutput(None if labels is None else F.cross_entropy(logits, labels), logits)


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
