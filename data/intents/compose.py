"""Compose `intents.jsonl`: what people ask a travel-and-services assistant, in Chinese, English and French.

    python data/intents/compose.py            # writes intents.jsonl beside this file

A template is a sentence with `{slots}` and `[one|of|these]`. `{city}` and the like are filled from the Unicode CLDR through
babel, so that each language has its own names, dates and amounts; the rest of a sentence stands in `templates.<language>.json`.
"""

import json
import random
import re
from datetime import date, time
from pathlib import Path

from babel import Locale, dates, numbers

HERE = Path(__file__).resolve().parent
LANGUAGES = ("zh", "en", "fr")
PER_TEMPLATE = {"train": 3, "validation": 3, "test": 2, "transfer": 5}  # texts of one template
VALIDATION_TEXTS = 8  # of an intent: its three validation templates give 3, 3 and 2 texts
LARGE = {"JPY": 100, "KRW": 1000, "HUF": 100, "INR": 20}  # currencies whose amounts are larger numbers


def load_templates(language: str) -> dict:
    """The templates, fillers and forms of one language."""
    return json.loads((HERE / f"templates.{language}.json").read_text(encoding="utf-8"))


def fillers_of(codes: list[str], split: str) -> list[str]:
    """The fillers a split may use: a third of a list is for every split, a third for test alone, a third for all but test."""
    return [code for place, code in enumerate(codes) if place % 3 == 0 or (place % 3 == 1) == (split == "test")]


def plain(text: str) -> str:
    """No-break spaces, which CLDR puts into amounts and times, become ordinary ones."""
    return text.replace("\u202f", " ").replace("\xa0", " ")


def french_country(name: str, gender: str) -> dict[str, str]:
    """In and from a country: en Inde, d'Inde; au Japon, du Japon; aux Pays-Bas, des Pays-Bas."""
    vowel = name[0] in "AEIOUÉÎ"
    if gender == "p":
        return {"country_in": f"aux {name}", "country_from": f"des {name}"}
    if gender == "m" and not vowel:
        return {"country_in": f"au {name}", "country_from": f"du {name}"}
    return {"country_in": f"en {name}", "country_from": f"d'{name}" if vowel else f"de {name}"}


def draw_slots(own: dict, split: str, rng: random.Random, near: bool) -> dict[str, str]:
    """One value for each slot of this language; `near`: two cities of Europe, so that one can go from one to the other."""
    locale = Locale.parse(own["locale"])
    pools = {kind: fillers_of(codes, split) for kind, codes in own["fillers"].items()}
    slots = {"person": rng.choice(pools["person"])}

    zones = rng.sample([zone for zone in pools["city"] if not near or zone.startswith("Europe/")], 2)
    slots["city"], slots["city2"] = (dates.get_timezone_location(zone, locale=locale, return_city=True) for zone in zones)
    country = rng.choice(pools["country"])
    slots["country"] = locale.territories[country]
    slots["language"], slots["language2"] = (locale.languages[code] for code in rng.sample(pools["language"], 2))

    currencies = rng.sample(pools["currency"], 3)
    amount = rng.choice([20, 25, 30, 45, 50, 60, 80, 120, 150, 200, 350, 500, 750, 1200]) * LARGE.get(currencies[2], 1)
    names = [numbers.get_currency_name(code, count=2, locale=locale) for code in currencies]
    space = "" if own["language"] == "zh" else " "
    slots["currency"], slots["currency2"] = names[:2]
    slots["money"] = numbers.format_decimal(amount, locale=locale) + space + names[2]
    price = rng.randrange(24, 1200) / 2
    slots["price"] = numbers.format_currency(price, rng.choice(own["price_currencies"]), locale=locale)

    day = date(2027, rng.randrange(1, 13), rng.randrange(2, 29))
    days = [date(2027, 3, number) for number in rng.sample(range(1, 8), 2)]  # 1 March 2027 is a Monday
    slots["weekday"], slots["weekday2"] = (dates.format_date(other, "EEEE", locale=locale) for other in days)
    slots["date"] = dates.format_skeleton("MMMMd", day, locale=locale)
    if rng.random() < 0.3:
        name = dates.format_date(day, "EEEE", locale=locale)
        slots["date"] = own["date_with_weekday"].format(weekday=name, date=slots["date"])
    for slot, hours in (("time", range(8, 18)), ("evening", range(18, 22))):
        clock = time(rng.choice(hours), rng.choice([0, 15, 30, 45]))
        slots[slot] = dates.format_time(clock, "short", locale=locale)

    slots |= {"n": str(rng.randrange(3, 13)), "number": str(rng.randrange(2, 99)), "room": str(rng.randrange(101, 620))}
    slots["order"] = str(rng.randrange(100_000, 1_000_000))
    if own["language"] == "fr":
        slots |= french_country(slots["country"], own["country_gender"][country])
        slots["city_from"] = ("d'" if slots["city"][0] in "AEIOUÉ" else "de ") + slots["city"]
        slots["language_the"] = ("l'" if slots["language"][0] in "aeiouéî" else "le ") + slots["language"]
    return slots


def fill(template: str, own: dict, split: str, rng: random.Random) -> str:
    """One text of a template: an opener before one text in four, choices made, slots filled."""
    chosen = re.sub(r"\[([^\]]+)\]", lambda match: rng.choice(match[1].split("|")), template)
    text = plain(chosen.format(**draw_slots(own, split, rng, "{city2}" in template)))
    text = text[0].upper() + text[1:]
    if rng.random() < 0.25:
        text = rng.choice(own["openers_test" if split == "test" else "openers"]) + text
    return text


def compared(text: str) -> str:
    """A text as it is compared with others: lower case, without digits and spaces."""
    return re.sub(r"[\d\s]", "", text.lower())


def compose(seed: int = 0) -> list[dict]:
    """All rows: by language, split and intent; ids are numbered within language and split."""
    rows = []
    for language in LANGUAGES:
        own, seen, forms = load_templates(language), set(), set()
        for split, each in PER_TEMPLATE.items():
            count = 0
            for intent, by_split in own["intents"].items():
                kinds = ("train", "transfer") if split == "transfer" else (split,)
                sources = [(f"{intent}-{language}-{kind}-{k:02d}", t) for kind in kinds for k, t in enumerate(by_split[kind], 1)]
                rng = random.Random(f"{seed} {language} {split} {intent}")
                texts = [source for source in sources for _ in range(each)]
                for name, template in texts[:VALIDATION_TEXTS] if split == "validation" else texts:
                    for attempt in range(200):
                        text = fill(template, own, split, rng)
                        if text not in seen and (attempt > 100 or compared(text) not in forms):
                            break
                    else:
                        raise ValueError(f"{name} has too few different texts: add a slot or a choice")
                    seen.add(text)
                    forms.add(compared(text))
                    count += 1
                    label = None if split == "transfer" else intent
                    row_id = f"{language}-{split}-{count:04d}"
                    row = {"id": row_id, "language": language, "split": split, "text": text, "intent": label}
                    rows.append(row | {"template": name})
    return rows


def main() -> None:
    """Write `intents.jsonl`."""
    rows = compose()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (HERE / "intents.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
