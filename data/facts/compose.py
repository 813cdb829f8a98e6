"""Compose the data set *facts*: templates from templates.json, filled with names and facts from CLDR (through babel).

`python compose.py` writes entities.jsonl and relations.jsonl beside this file; `compose(seed)` gives their rows.
"""

import json
import random
import re
import unicodedata
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from babel import Locale
from babel.core import get_global
from babel.languages import get_official_languages, get_territory_language_info
from babel.numbers import get_currency_name, get_territory_currencies

HERE = Path(__file__).parent
DATA = json.loads((HERE / "templates.json").read_text(encoding="utf-8"))
LANGUAGES = {"entities": ("en", "fr"), "relation": ("zh", "en", "fr")}
SIZES = {
    "entities": {"train": 600, "validation": 150, "test": 300, "transfer": 600},
    "relation": {"train": 480, "validation": 120, "test": 240, "transfer": 600},
}
SHARES = {"train": (0, 0.45), "validation": (0.45, 0.55), "transfer": (0.55, 0.65), "test": (0.65, 1)}  # of each list of fillers
OWN = {"train": 1.0, "validation": 0.5, "transfer": 0.5, "test": 0.7}  # how often a split draws from its own share
TODAY = date(2025, 1, 1)  # the day on which currencies are in use
COUNTRIES = sorted(DATA["countries"]["french"])


class Filler(NamedTuple):
    """What a slot is filled with: text, type of entity (none for dates and numbers), class of article, plural, gender."""

    text: str
    kind: str = ""
    article: str = ""
    plural: str = ""
    gender: str = ""


def choose(items: list, split: str, rng: random.Random) -> Any:
    """Draw one of `items` from the share of `split` or, now and then, from that of train; the shares do not change with `rng`."""
    shuffled = random.Random(str(items)).sample(items, len(items))
    first, last = SHARES[split] if rng.random() < OWN[split] else SHARES["train"]
    return rng.choice(shuffled[round(first * len(items)) : round(last * len(items))])


def bare(text: str) -> str:
    """The class of a French name without article: `nv` before a vowel (d'Oslo), else `n` (de Lima)."""
    return "nv" if unicodedata.normalize("NFD", text)[0].lower() in "aeiou" or text == "Helsinki" else "n"


def named(kind: str, code: str, language: str) -> Filler:
    """The name of a city (by its time zone), country, currency or language, with its class of article."""
    locale, plural, article = Locale(language), "", "n"
    if kind == "CITY":
        name = locale.time_zones.get(code, {}).get("city") or code.split("/")[-1].replace("_", " ")
        article = bare(name)
    elif kind == "COUNTRY":
        name = locale.territories[code]
        article = {"en": DATA["countries"]["english"].get(code, "n"), "fr": DATA["countries"]["french"][code]}.get(language, "n")
    elif kind == "CURRENCY":
        name, plural = (get_currency_name(code, count=count, locale=language) for count in (1, 2))
        french = "f" if name.split()[0] in DATA["currencies"]["french_feminine"] else "v" if bare(name) == "nv" else "m"
        article = {"en": "t", "fr": french}.get(language, "n")
    else:
        name = locale.languages[code]
        article = "n" if language != "fr" else "v" if bare(name) == "nv" else "m"
    return Filler(name, kind, article, plural)


@cache
def facts(kind: str) -> list[tuple[str, str]]:
    """All pairs of a city, currency or language and the country that it belongs to, in CLDR's codes."""
    if kind == "CITY":
        lands, aliases = get_global("zone_territories"), get_global("zone_aliases")
        return [(zone, lands[aliases.get(zone, zone)]) for zone in DATA["cities"]]
    if kind == "LANGUAGE":
        pairs = [(code, land) for land in COUNTRIES for code in get_official_languages(land)]
        return [(code, land) for code, land in pairs if f"{land}-{code}" not in DATA["languages"]["leave_out"]]
    pairs = [(code, land) for land in COUNTRIES for code in get_territory_currencies(land, start_date=TODAY)]
    return [(code, land) for code, land in pairs if code != "EUR" and land not in DATA["currencies"]["leave_out_countries"]]


def may_be_true(kind: str, code: str, land: str) -> bool:
    """Whether a pair is or might be a fact: then no sentence denies it."""
    if kind == "CITY":
        return (code, land) in facts(kind)
    found = get_territory_language_info(land) if kind == "LANGUAGE" else get_territory_currencies(land, start_date=TODAY)
    return code in found or code in DATA["not_denied"]


def person(language: str, split: str, form: str, rng: random.Random) -> Filler:
    """A full name, a given name (form `g`) or a family name (form `s`); some given names are words as well."""
    source = DATA["persons"][rng.choice(DATA["origins"][language])]
    if language != "zh" and rng.random() < {"g": 0.6, "p": 0.25, "s": 0}[form]:
        source = DATA["word_names"][language] | {"family": DATA["persons"][DATA["word_names"][language]["family_of"]]["family"]}
    (given, gender), family = choose(source["given"], split, rng), choose(source["family"], split, rng)
    if language == "zh":
        name = family + given if len(family) == 1 else f"{given}·{family}"
    else:
        name = family if form == "s" else given if form == "g" or rng.random() < 0.2 else f"{given} {family}"
    return Filler(name, "PER", bare(name), gender=gender)


def organisation(language: str, split: str, rng: random.Random) -> Filler:
    """An institution of a city, a company of made-up syllables or a firm named after a family."""
    parts = DATA["organisations"][language]
    group = rng.choices(["institutions", "companies", "families"], [5, 3, 2 if parts["families"] else 0])[0]
    article, pattern = choose(parts[group], split, rng)
    slots = {slot: draw(slot, language, split, rng) for slot in "cs"} | {"stem": Filler(choose(parts["stems"], split, rng))}
    name = fill(pattern, slots, language)[0]
    return Filler(name, "ORG", article or bare(name))


def draw(slot: str, language: str, split: str, rng: random.Random) -> Filler:
    """A filler for a slot of a template; the name of the slot says of which kind."""
    if slot in ("p", "g", "s"):
        return person(language, split, slot, rng)
    if slot == "o":
        return organisation(language, split, rng)
    if slot in ("c", "k"):
        kind, codes = ("CITY", DATA["cities"]) if slot == "c" else ("COUNTRY", COUNTRIES)
        return named(kind, choose(codes, split, rng), language)
    if slot in ("month", "day"):
        return Filler(rng.choice(list(getattr(Locale(language), f"{slot}s")["format"]["wide"].values())))
    if slot == "w":
        return Filler(rng.choice(DATA["flowers"][language]))
    return Filler(str(rng.randrange(1948, 2000) if slot == "year" else rng.randrange(11, 49)))


def fill(template: str, slots: dict[str, Filler], language: str) -> tuple[str, dict[str, list]]:
    """Fill a template; gives the text and, by slot, [start, end, type] of what was filled in, without its article."""
    gender = next((filler.gender for filler in slots.values() if filler.gender), "m")
    template = re.sub(r"\{([^{}|]*)\|([^{}|]*)\}", lambda match: match[1 if gender == "m" else 2], template)
    text, spans, end = "", {}, 0
    for match in re.finditer(r"\{(\w+)(?::(\w+))?\}", template):
        slot, form, filler = match[1], match[2] or "", slots[match[1].lower()]
        prefix = DATA["forms"][language][form.lower()][filler.article] if form else ""
        name = filler.plural if form == "pl" else filler.text
        text += template[end : match.start()] + (prefix[:1].upper() + prefix[1:] if form[:1].isupper() else prefix)
        spans[slot] = [len(text), len(text) + len(name), filler.kind]
        text += name[0].upper() + name[1:] if slot[0].isupper() or (form[:1].isupper() and not prefix) else name
        end = match.end()
    return text + template[end:], spans


def sentence(template: dict, language: str, split: str, rng: random.Random) -> dict:
    """One row from a template: its text with the entities, or with head, tail and relation."""
    pattern, slots = template["text" if "text" in template else language], {}
    if template.get("head") == "PER":
        slots = {"h": draw("p", language, split, rng), "t": draw("o" if template["tail"] == "ORG" else "c", language, split, rng)}
    elif "head" in template:  # a true pair; where nothing is stated, another one in four; where it is denied, always
        kind, other = template["head"], template["pair"] == "other" or (template["pair"] == "any" and rng.random() < 0.25)
        code, land = choose(facts(kind), split, rng)
        while other and may_be_true(kind, code, land):
            code, land = choose(facts(kind), split, rng)[0], choose(facts(kind), split, rng)[1]
        slots = {"h": named(kind, code, language), "t": named("COUNTRY", land, language)}
    for slot in dict.fromkeys(match.lower() for match in re.findall(r"\{(\w+)(?::\w+)?\}", pattern)):
        while slot not in slots or slots[slot].text in [slots[other].text for other in slots if other != slot]:
            slots[slot] = draw(slot.rstrip("0123456789"), language, split, rng)
    text, spans = fill(pattern, slots, language)
    if "head" in template:
        return {"text": text, "head": spans["h"], "tail": spans["t"], "relation": template["relation"]}
    places = {"CITY": "LOC", "COUNTRY": "LOC"}
    return {"text": text, "entities": [[start, end, places.get(kind, kind)] for start, end, kind in spans.values() if kind]}


def compose(seed: int = 0) -> list[dict]:
    """All rows, by kind, language and split; those of transfer without labels, a quarter of the entities' test in lower case."""
    rows, used = [], set()
    for kind, language, split in [(k, x, s) for k in SIZES for x in LANGUAGES[k] for s in SIZES[k]]:
        rng = random.Random(f"{seed} {kind} {language} {split}")
        cells: dict[tuple, list[dict]] = {}  # templates by relation and types, so that one of each is filled in turn
        for row in DATA[kind]:
            if row.get("language", language) == language and row["split"] in (split, "train" if split == "transfer" else split):
                cells.setdefault(tuple(row.get(key) for key in ("relation", "head", "tail")), []).append(row)
        templates = [row for group in zip(*cells.values(), strict=True) for row in group]
        found: list[dict] = []
        while len(found) < SIZES[kind][split]:
            turn, place = divmod(len(found), len(templates))
            row = sentence(templates[place], language, split, rng) | {"template": templates[place]["template"], "kind": kind}
            if kind == "entities":
                row["style"] = "lower" if split == "test" and turn % 4 == 3 else "plain"
                row["text"] = row["text"].lower() if row["style"] == "lower" else row["text"]
            if row["text"] not in used:
                used.add(row["text"])
                found.append(row | ({kind: None} if split == "transfer" else {}))
        for number, row in enumerate(rng.sample(found, len(found)), 1):
            rows.append({"id": f"{kind[0]}-{language}-{split}-{number:03}", "language": language, "split": split} | row)
    return rows


if __name__ == "__main__":
    rows = compose()
    for kind, name in (("entities", "entities.jsonl"), ("relation", "relations.jsonl")):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["kind"] == kind]
        (HERE / name).write_text("".join(lines), encoding="utf-8", newline="\n")
