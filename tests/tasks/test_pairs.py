"""Matching: a bi-encoder's logits are cosines, margin-MSE is the logit MSE of centred logits, the trainer serves both."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification

from kdlib.distill import DistillationArguments, DistillationTrainer
from kdlib.errors import InputError
from kdlib.losses import logit_mse
from kdlib.tasks import pairs

ROWS = [{"query": f"room {i}", "candidates": [f"the room number {i}", f"a book {i}", "好书"], "correct": i % 3} for i in range(9)]


@pytest.fixture
def cross(tiny_tokenizer: Any) -> Any:
    """A cross-encoder with random weights."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=1,
                        pad_token_id=tiny_tokenizer.pad_token_id)  # fmt: skip
    return BertForSequenceClassification(config).eval()


def test_cross_logits_are_those_of_each_pair_alone(cross: Any, tiny_tokenizer: Any) -> None:
    found = pairs.Matching().predict(pairs.CrossEncoder(cross), tiny_tokenizer, Dataset.from_list(ROWS), batch_size=4)
    for row, logits in zip(ROWS, found, strict=True):
        encoded = [tiny_tokenizer(row["query"], text, return_tensors="pt") for text in row["candidates"]]
        with torch.no_grad():
            alone = [cross(input_ids=one["input_ids"], attention_mask=one["attention_mask"]).logits.item() for one in encoded]
        assert logits == pytest.approx(np.array(alone) - np.mean(alone), abs=1e-5)


def test_bi_encoder_logits_are_centred_cosines(cross: Any, tiny_tokenizer: Any) -> None:
    model, data = pairs.BiEncoder(cross.bert, 3, scale=7.0), pairs.encode_candidates(Dataset.from_list(ROWS), tiny_tokenizer)
    batch = pairs.pad_candidates(tiny_tokenizer)(list(data))
    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
        for row, found in zip(ROWS, logits, strict=True):
            vectors = []
            for text in (row["query"], *row["candidates"]):
                states = cross.bert(**{name: value for name, value in tiny_tokenizer(text, return_tensors="pt").items() if name != "token_type_ids"})
                vectors.append(states.last_hidden_state[0].mean(0))
            cosines = torch.stack([torch.cosine_similarity(vectors[0], other, dim=0) for other in vectors[1:]]) * 7
            assert torch.allclose(found, cosines - cosines.mean(), atol=1e-4)


def test_margin_mse_is_four_times_the_logit_mse_of_two_centred_logits() -> None:
    torch.manual_seed(0)
    s, t = torch.randn(50, 2), torch.randn(50, 2)
    margin = ((s[:, 0] - s[:, 1]) - (t[:, 0] - t[:, 1])).square().mean()
    assert torch.isclose(4 * logit_mse(s - s.mean(1, keepdim=True), t - t.mean(1, keepdim=True)), margin)


def test_one_trainer_teaches_a_bi_encoder(cross: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    rows = [{**row, "teacher_logits": [1.0, 5.0, 3.0]} for row in ROWS]  # of these texts the second is the best
    data = pairs.encode_candidates(Dataset.from_list(rows), tiny_tokenizer)
    model = pairs.BiEncoder(cross.bert, 3)
    arguments = DistillationArguments(output_dir=str(tmp_path), eval_strategy="no", save_strategy="no", load_best_model_at_end=False, report_to="none", num_train_epochs=30,
                                      learning_rate=3e-3, alpha=1.0, objective="mse", train_sampling_strategy="random", remove_unused_columns=False, disable_tqdm=True)  # fmt: skip
    trainer = DistillationTrainer(model=model, args=arguments, train_dataset=data, data_collator=pairs.pad_candidates(tiny_tokenizer))
    batch = pairs.pad_candidates(tiny_tokenizer)(list(data))
    model.eval()
    before = trainer.compute_loss(model, batch).item()
    trainer.train()
    model.eval()
    assert trainer.compute_loss(model, batch).item() < before / 2


def test_rank_scores() -> None:
    found = pairs.rank_scores(np.array([[3.0, 1, 2], [1, 3, 2], [1, 1, 0]]), [0, 2, 0])
    assert found["recall"].tolist() == [1, 0, 0] and found["reciprocal_rank"].tolist() == [1, 0.5, 0.5]


def test_bad_rows_are_refused() -> None:
    with pytest.raises(InputError, match=r"have \[1, 2\] candidates"):
        pairs.check_candidates(Dataset.from_list([{"query": "a", "candidates": ["b"]}, {"query": "a", "candidates": ["b", "c"]}]))
    with pytest.raises(InputError, match="Row 1 has an empty query or candidate"):
        pairs.check_candidates(Dataset.from_list([{"query": "a", "candidates": ["b"]}, {"query": "a", "candidates": [" "]}]))
