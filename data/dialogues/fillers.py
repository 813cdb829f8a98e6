"""What the slots of *dialogues* are filled with: values drawn from fillers.json, written in a language by CLDR (babel)."""

import json
import random
import re
import unicodedata
from datetime import date, time, timedelta
from functools import cache
from pathlib import Path

from babel import Locale
from babel.dates import format_skeleton, format_time
from babel.numbers import format_currency
from babel.units import format_unit

HERE = Path(__file__).parent
LANGUAGES = ("zh", "en", "fr")
TEXTS = {x: json.loads((HERE / f"templates.{x}.json").read_text(encoding="utf-8")) for x in LANGUAGES}
LISTS = json.loads((HERE / "fillers.json").read_text(encoding="utf-8"))


@cache
def in_random_order(items: tuple) -> list:
    return random.Random(str(items)).sample(items, len(items))


@cache
def money(amount: float, currency: str, language: str, cents: bool) -> str:
    """An amount with the sign of the currency: £1,240 or, with cents, £1,240.50."""
    locale = Locale.parse(TEXTS[language]["locale"])
    pattern = locale.currency_formats["standard"].pattern
    pattern = pattern if cents else pattern.replace(".00", "")
    return format_currency(amount, currency, format=pattern, locale=locale, currency_digits=cents)


@cache
def cash(amount: int, currency: str, language: str) -> str:
    """An amount with the name of the currency: 500 Swiss francs."""
    locale = TEXTS[language]["locale"]
    return format_currency(amount, currency, locale=locale, format_type="name", currency_digits=False)


def choose(items: list, split: str, rng: random.Random):
    """Draw from the share of a split: the last 60 % of a list, in a fixed random order, for test, else the first 70 %."""
    shuffled = in_random_order(tuple(items))
    return rng.choice(shuffled[round(0.4 * len(items)) :] if split == "test" else shuffled[: round(0.7 * len(items))])


def day(rng: random.Random) -> date:
    return date(2026, rng.randrange(1, 13), rng.randrange(2, 23))  # never the first: French would need "1er"


def draw(scenario: str, language: str, split: str, rng: random.Random) -> dict:
    """The values of a dialogue: codes, numbers and dates, not yet written in a language."""
    about, texts = LISTS["scenarios"][scenario], TEXTS[language]
    cities = LISTS["rail" if scenario == "train" else "cities"]
    city = city2 = choose(cities, split, rng)
    while city2 == city:
        city2 = choose(cities, split, rng)
    currency = choose(list(LISTS["euros_per_100"]), split, rng)
    price = rng.randint(*about["price"]) * (8 if language == "zh" else 1)
    if scenario == "exchange":
        price = round(LISTS["euros_per_100"][currency] * texts["factor"] * rng.uniform(0.97, 1.03), 2)
    return {
        "city": city,
        "city2": city2,
        "date": day(rng),
        "time": time(rng.randint(*about["hours"]), rng.choice((0, 15, 30, 45))),
        "n": rng.randint(2, {"exchange": 9, "parcel": 4}.get(scenario, 6)),
        "m": rng.randint(2, 6),
        "price": price,
        "currency": currency,
        "weight": rng.randint(3, 18) / 2,
        "country": choose(list(LISTS["countries"]), split, rng),
        "lang": choose(LISTS["languages"], split, rng),
        "name": choose(texts["names"], split, rng),
        "doc": choose(texts["doctors"], split, rng),
    }


def changed(values: dict, scenario: str, rng: random.Random) -> dict:
    """The same values with another one for what the user may change."""
    slot, new = LISTS["scenarios"][scenario]["change"], dict(values)
    while new == values:
        if scenario == "parcel":
            new["n"] += rng.randint(1, 2)
        elif slot == "n":
            new["n"] = rng.randint(2, 9 if scenario == "exchange" else 6)
        elif slot == "date":
            new["date"] = values["date"] + timedelta(rng.randint(1, 6))
        else:
            new["time"] = time(rng.randint(*LISTS["scenarios"][scenario]["hours"]), rng.choice((0, 15, 30, 45)))
    return new


def written(values: dict, scenario: str, language: str) -> dict[str, str]:
    """The texts of all slots, as CLDR writes them in the language."""
    texts = TEXTS[language]
    locale, n, price, currency = Locale.parse(texts["locale"]), values["n"], values["price"], values["currency"]
    own, cents = texts["currency"], scenario == "exchange"
    cities = {x: locale.time_zones.get(values[x], {}).get("city") or values[x].split("/")[-1] for x in ("city", "city2")}
    return {
        **cities,
        "date": format_skeleton("MMMMd", values["date"], locale=locale),
        "end": format_skeleton("MMMMd", values["date"] + timedelta(n), locale=locale),
        "time": format_time(values["time"], "short", locale=locale),
        "n": texts["numbers"][n],
        "m": texts["numbers"][values["m"]],
        "price": money(price, own, language, cents),
        "total": money(round(price * n, 2), own, language, cents),
        "cash": cash(100 * n, currency, language),
        "unit": cash(100, currency, language),
        "weight": format_unit(values["weight"], "mass-kilogram", locale=locale),
        "country": locale.territories[values["country"]],
        "lang": locale.languages[values["lang"]],
        "name": values["name"],
        "doc": values["doc"],
        "desk": texts["desks"][scenario],
    }


def fill(template: str, values: dict, scenario: str, language: str) -> str:
    """Fill a template; `{slot:form}` puts an article or preposition before the filler, `{slot:cap}` begins with a capital."""
    slots = written(values, scenario, language)

    def one(match: re.Match) -> str:
        slot, _, form = match[1].partition(":")
        text = slots[slot]
        forms = {} if form in ("", "cap") else TEXTS[language]["forms"][f"{slot}:{form.removesuffix(':cap')}"]
        kind = "v" if unicodedata.normalize("NFD", text)[0].lower() in "aeiou" or text == "Helsinki" else "n"
        if slot == "country":
            kind = LISTS["countries"][values["country"]] if language == "fr" else "n"
            kind = "t" if language == "en" and values["country"] in LISTS["the_in_english"] else kind
        text = forms.get(kind, "") + text
        return text[0].upper() + text[1:] if form.endswith("cap") else text

    return re.sub(r"\{([\w:]+)\}", one, template)
