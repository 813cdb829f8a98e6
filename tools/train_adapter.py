"""Train the adapter that ships in data/teacher: LoRA and head on the Chinese and English training reviews.

Run: python -m tools.train_adapter   (about ten minutes on two cores; the model card beside it stays)
"""

import json

import numpy as np

import kdlib
from kdlib.files import packaged
from kdlib.measure import environment
from tests.test_data import digest

SETTINGS = {"method": "lora", "num_train_epochs": 3, "learning_rate": 5e-4, "seed": 0}


def main() -> None:
    """Train, save, and write the validation accuracies of all three languages to data/teacher/training.json."""
    data = {language: kdlib.load_reviews(language) for language in ("zh", "en", "fr")}
    train, validation = ([data[language][split] for language in ("zh", "en")] for split in ("train", "validation"))
    folder = packaged("data", "teacher")
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    teacher, tokenizer = kdlib.load_teacher(adapter=None)
    kdlib.finetune_teacher(teacher, tokenizer, train, validation, adapter_folder=folder, **SETTINGS)
    teacher, tokenizer = kdlib.load_teacher()  # as everyone will load it
    accuracy = {}
    for language, splits in data.items():
        logits = kdlib.predict_logits(teacher, tokenizer, splits["validation"]["text"])
        accuracy[language] = float((logits.argmax(-1) == np.array(splits["validation"]["label"])).mean())
    card.write_text(text, encoding="utf-8")
    names = ("train", "validation")
    rows = {code: {name: digest(data[code][name]) for name in names} for code in ("zh", "en")}
    record = {"settings": SETTINGS, "rows": rows, "validation_accuracy": accuracy, **environment()}
    (folder / "training.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(accuracy)


if __name__ == "__main__":
    main()
