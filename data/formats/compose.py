"""Compose the data set *formats*: sentences with dates, times, numbers and sums of money, in English, French and Chinese.

`python compose.py` writes formats.jsonl beside this file; `compose(seed)` gives its rows. Needs babel.
"""

import datetime
import json
import random
from pathlib import Path

from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit

LOCALES = {"en": "en_GB", "fr": "fr_FR", "zh": "zh_Hans_CN"}
SIZES = {"train": 900, "validation": 100, "test": 200}
CURRENCIES = ["EUR", "USD", "GBP", "CNY", "JPY", "CHF"]
UNITS = ["length-kilometer", "mass-kilogram", "duration-minute", "duration-day", "temperature-celsius", "digital-megabyte"]
SENTENCES = {
    "date": [
        ("The shop opens on {x}.", "Le magasin ouvre le {x}.", "商店于{x}开业。"),
        ("Please answer before {x}.", "Merci de répondre avant le {x}.", "请在{x}之前答复。"),
        ("We wrote to you on {x}.", "Nous vous avons écrit le {x}.", "我们已于{x}给您写信。"),
        ("The contract ends on {x}.", "Le contrat se termine le {x}.", "合同于{x}到期。"),
    ],
    "time": [
        ("The train leaves at {x}.", "Le train part à {x}.", "火车{x}开。"),
        ("The doctor will see you at {x}.", "Le médecin vous recevra à {x}.", "医生{x}给您看病。"),
        ("Our office closes at {x}.", "Notre bureau ferme à {x}.", "我们的办公室{x}关门。"),
    ],
    "meeting": [
        ("The meeting begins at {y} on {x}.", "La réunion commence le {x} à {y}.", "会议于{x}{y}开始。"),
        ("Your table is booked for {x} at {y}.", "Votre table est réservée pour le {x} à {y}.", "您的餐桌已订在{x}{y}。"),
        ("The last bus on {x} leaves at {y}.", "Le dernier bus du {x} part à {y}.", "{x}的末班车{y}开。"),
    ],
    "number": [
        ("The file has {x} lines.", "Le fichier compte {x} lignes.", "该文件有{x}行。"),
        ("About {x} people live here.", "Environ {x} personnes vivent ici.", "大约有{x}人住在这里。"),
        ("The list holds {x} names.", "La liste contient {x} noms.", "名单上有{x}个名字。"),
    ],
    "money": [
        ("The room costs {x}.", "La chambre coûte {x}.", "房间的价格是{x}。"),
        ("You have paid {x}.", "Vous avez payé {x}.", "您已支付{x}。"),
        ("The repair will cost {x} at most.", "La réparation coûtera {x} au plus.", "修理费最多{x}。"),
        ("We will send {x} back to you.", "Nous vous rembourserons {x}.", "我们将退还您{x}。"),
    ],
    "percent": [
        ("The price has risen by {x}.", "Le prix a augmenté de {x}.", "价格上涨了{x}。"),
        ("{x} of the answers are right.", "{x} des réponses sont justes.", "{x}的答案是正确的。"),
        ("The work is {x} done.", "Le travail est terminé à {x}.", "工作已完成{x}。"),
    ],
    "measure": [
        ("The sign says {x}.", "Le panneau indique {x}.", "牌子上写着{x}。"),
        ("The answer is {x}.", "La réponse est {x}.", "答案是{x}。"),
        ("The machine shows {x}.", "La machine affiche {x}.", "机器显示{x}。"),
    ],
}


def values(kind: str, rng: random.Random) -> dict[str, dict[str, str]]:
    """What is written in the places of a sentence: ``{language: {place: text}}``, the same value in each language."""
    day = datetime.date(2020, 1, 1) + datetime.timedelta(rng.randrange(3650))
    day = day.replace(day=2) if day.day == 1 else day  # French writes 1er, which CLDR's pattern does not
    hour, form = datetime.time(rng.randrange(24), rng.choice(range(0, 60, 5))), rng.choice(["long", "full"])
    number, share = rng.randrange(1001, 10 ** rng.randint(4, 7)), rng.randrange(15, 1000) / 1000
    sum_, currency, named = rng.randrange(200, 10 ** rng.randint(3, 6)), rng.choice(CURRENCIES), rng.choice(["standard", "name"])
    unit, amount = rng.choice(UNITS), rng.randrange(20, 1000) / 10
    found = {}
    for language, locale in LOCALES.items():
        date, time = format_date(day, form, locale), format_time(hour, "short", locale=locale)
        money = format_currency(sum_ / (1 if currency == "JPY" else 100), currency, locale=locale, format_type=named)
        text = {"date": date, "time": time, "meeting": date, "number": format_decimal(number, locale=locale), "money": money,
                "percent": format_percent(share, "#,##0.#%" if language != "fr" else "#,##0.# %", locale),
                "measure": format_unit(amount, unit, "long", locale=locale)}[kind]  # fmt: skip
        found[language] = {place: said.replace("\u202f", " ").replace("\xa0", " ") for place, said in (("x", text), ("y", time))}
    return found


def compose(seed: int = 0) -> list[dict[str, str]]:
    """The rows, in the order of the splits; no value comes in two splits, no row twice."""
    rng, rows = random.Random(seed), []
    taken: dict[str, str] = {}
    for split, size in SIZES.items():
        for number in range(size):
            kind = list(SENTENCES)[number % len(SENTENCES)]
            while True:
                sentence, written = rng.choice(SENTENCES[kind]), values(kind, rng)
                said = written["en"]["x"] + (written["en"]["y"] if kind == "meeting" else "")
                texts = {language: text.format(**written[language]) for language, text in zip(LOCALES, sentence, strict=True)}
                if taken.get(said, split) == split and texts["en"] not in taken:
                    break
            taken[said] = taken[texts["en"]] = split
            rows.append({"id": f"{split}-{number + 1:03d}", "split": split, "kind": kind, **texts})
    return rows


if __name__ == "__main__":
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in compose()]
    Path(__file__).with_name("formats.jsonl").write_text("".join(lines), encoding="utf-8")
