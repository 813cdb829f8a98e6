"""What the slots of templates.json stand for: facts and forms of CLDR (through babel), and lists written for the kit."""

import json
import random
from collections.abc import Callable
from datetime import date, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_decimal, format_percent, get_currency_name, get_territory_currencies

Texts = dict[str, str]  # one text for each language
DATA = json.loads((Path(__file__).parent / "templates.json").read_text(encoding="utf-8"))
LOCALES = {"zh": Locale("zh"), "en": Locale("en", "GB"), "fr": Locale("fr")}
SPACE = {"zh": "", "en": " ", "fr": " "}


def localise(write: Callable[..., str], *values: Any, **options: Any) -> Texts:
    """``write(*values, locale=…)`` in each language, with plain spaces and apostrophes and no marks of direction."""
    clean = str.maketrans({"\xa0": " ", "\u202f": " ", "’": "'", "\u200f": None})
    return {language: write(*values, **options, locale=locale).translate(clean) for language, locale in LOCALES.items()}


def named(slot: str, name: Texts, article: str = "", english: str = "") -> dict[str, Texts]:
    """A name and what French (for ".the" also English) puts before it: articles and prepositions, contracted and elided."""
    vowel = name["fr"][0] in "AEIOUÉÎaeioué" and article != "les"
    key = ("vowel" if article else "bare vowel") if vowel else article
    forms = {f"{slot}.{use}": {"zh": "", "en": "", "fr": french[key]} for use, french in DATA["articles"].items()}
    return {slot: name, **forms, f"{slot}.the": {**forms[f"{slot}.the"], "en": english}}


def city(zone: str, locale: Locale) -> str:
    """The city that a time zone is named after."""
    return locale.time_zones.get(zone, {}).get("city") or zone.split("/")[-1].replace("_", " ")


def weekday(number: int, locale: Locale) -> str:
    """A day of the week, 0 being Monday."""
    return locale.days["stand-alone"]["wide"][number]


def territory(slot: str, code: str, day: date) -> dict[str, Texts]:
    """A territory and what CLDR knows of it: {a}, {a.currency}, {a.city} …"""
    facts = DATA["territories"][code]
    home, zone = Locale(facts["language"], code), get_global("meta_zones")[facts["zone"]]
    values = named(slot, localise(lambda locale: locale.territories[code]), facts["fr"], facts.get("en", ""))
    values |= named(f"{slot}.city", localise(city, facts["zone"]))
    values[f"{slot}.currency"] = localise(get_currency_name, get_territory_currencies(code)[-1], count=2)
    values[f"{slot}.zone"] = localise(lambda locale: locale.meta_zones[zone]["long"]["standard"])
    values[f"{slot}.weekday"] = localise(weekday, home.first_week_day)
    values[f"{slot}.short"] = localise(lambda locale: format_date(day, "short", home))
    for number in [number for number in ("", "2") if f"language{number}" in facts]:
        language = facts[f"language{number}"]
        share = get_global("territory_languages")[code][language]["population_percent"] / 100
        values |= named(f"{slot}.language{number}", localise(lambda locale, name=language: locale.languages[name]), "le")
        values[f"{slot}.share{number}"] = localise(format_percent, share)
    return values


@cache
def distinct(code: str) -> set[Any]:
    """What the two territories of a passage must not share: currency, language, time and first day of the week."""
    facts = DATA["territories"][code]
    home, zone = Locale(facts["language"], code), get_global("meta_zones")[facts["zone"]]
    return {get_territory_currencies(code)[-1], facts["language"], zone, home.first_week_day}


def fill(slots: dict[str, str], split: str, rng: random.Random, taken: list[Any]) -> dict[str, Texts]:
    """Draw what the slots stand for, no name twice: the texts of each slot and of its forms, {p}, {p.of}, {a.currency} …"""
    values: dict[str, Texts] = {}
    codes: dict[str, str] = {}
    area = ""
    day, weekdays = date(2027, 1, 1), rng.sample(range(7), 7)
    written = date(2027, rng.randint(1, 12), rng.randint(2, 28))  # the day whose short form the passage gives

    def draw(items: list[Any], fits: list[Any]) -> Any:
        """One not taken yet, of the first two thirds of a list for train and transfer, else of the last two thirds."""
        part = items[: -(len(items) // 3)] if split in ("train", "transfer") else items[len(items) // 3 :]
        left = [item for item in part if item not in taken]
        taken.append(rng.choice([item for item in left if item in fits] or left))
        return taken[-1]

    for slot, specification in slots.items():
        kind, *rest = specification.split()
        number = rng.randint(int(rest[0]), int(rest[1])) if len(rest) > 1 else 0
        if kind == "territory":  # in every fact another one than those before; with a second language for "shares"
            facts = {code: distinct(code) for code in DATA["territories"]}
            fits = [code for code in facts if not any(facts[code] & facts[other] for other in codes.values())]
            codes[slot] = draw(list(facts), [code for code in fits if not rest or "language2" in DATA["territories"][code]])
            values |= territory(slot, codes[slot], written)
        elif kind == "city":
            near = [zone for zone in DATA["cities"] if zone.split("/")[0] == area] or DATA["cities"]  # one part of the world
            zone = draw(DATA["cities"], near)
            area = zone.split("/")[0]
            values |= named(slot, localise(city, zone))
        elif kind == "date":
            day += timedelta(days=number)
            day += timedelta(days=day.day == 1)  # French writes 1er
            values[slot] = localise(format_skeleton, "MMMMd", day)
        elif kind == "time":
            values[slot] = localise(format_time, time(number, rng.choice([0, 15, 30, 45])), "short")
        elif kind == "weekday":
            values[slot] = localise(weekday, weekdays.pop())
        elif kind in ("money", *DATA["units"]):  # money: in euros, or in the currency of the territory in a named slot
            code = codes[rest[2]] if len(rest) > 2 else "PT"
            unit = DATA["units"].get(kind) or localise(get_currency_name, get_territory_currencies(code)[-1], count=2)
            digits = localise(format_decimal, number * (DATA["territories"][code]["scale"] if kind == "money" else 1))
            values[slot] = {language: (digits[language] + SPACE[language] + unit[language]).strip() for language in LOCALES}
        else:  # a list written for the kit
            entry = draw(DATA["lists"][kind], DATA["lists"][kind])
            values |= named(slot, {language: entry[language] for language in LOCALES}, entry.get("article", ""), "the ")
            values |= {f"{slot}.{name}": forms[entry["gender"]] for name, forms in DATA["pronouns"].items() if "gender" in entry}
    return values
