"""Compose the data set *dialogues*: turns from templates.<language>.json, with slots that are carried from turn to turn.

`python compose.py` writes dialogues.zh.jsonl, dialogues.en.jsonl and dialogues.fr.jsonl beside this file; `compose(seed)` gives its rows.
"""

import json
import random
import re
from pathlib import Path

from fillers import LANGUAGES, LISTS, TEXTS, changed, draw, fill, written

SIZES = {"train": 300, "validation": 60, "test": 120, "transfer": 200}
REPLIES = ("offer", "confirm", "answer", "close")  # the assistant's acts that use what was said before
ASSISTANT = (*REPLIES, "greet", "ask_name")
NAMED, ASKED = "request offer accept+give_name confirm", "request offer accept ask_name give_name confirm"
CHANGED, LATER = "request offer change answer accept+give_name confirm", f"{NAMED} change answer"
PLANS = [plan + end for plan in (NAMED, ASKED, CHANGED, LATER) for end in ("", " thanks close")]
PLANS += [f"greet {plan}" for plan in (NAMED, f"{NAMED} thanks close", ASKED, CHANGED, LATER)]
INFERRED = {"total": ({"price", "n"}, {"price", "cash"}), "end": ({"date", "n"},), "unit": ({"cash"},)}


def say(acts: str, values: dict, scenario: str, language: str, split: str, rng: random.Random) -> tuple[str, str, set[str]]:
    """A turn of one act or of two joined by +: its text, the path of its phrasing and the slots that it names."""
    texts, paths, slots = [], [], set()
    for act in acts.split("+"):
        group = TEXTS[language]["acts"]["shared" if act in TEXTS[language]["acts"]["shared"] else scenario][act]
        number, template = rng.choice(list(enumerate(group["train" if split == "transfer" else split])))
        texts.append(fill(template, values, scenario, language))
        paths.append(f"{act}.{number}")
        slots |= set(re.findall(r"\{(\w+)", template))
    return TEXTS[language]["join"].join(texts), "+".join(paths), slots


def dialogue(scenario: str, language: str, split: str, rng: random.Random) -> dict:
    """A dialogue: its turns, the path of their phrasings, and what only `candidates` needs: values and slots of each turn."""
    values = draw(scenario, language, split, rng)
    turns, paths, states, named = [], [], [], []
    for acts in rng.choice(PLANS).split():
        act = acts.split("+")[0]
        values = changed(values, scenario, rng) if act == "change" else values
        text, path, slots = say(acts, values, scenario, language, split, rng)
        turns.append({"speaker": "assistant" if act in ASSISTANT else "user", "act": act, "text": text})
        paths.append(path)
        states.append(values)
        named.append(slots)
    return {"turns": turns, "template": " ".join(paths), "states": states, "named": named}


def known(named: list[set[str]]) -> set[str]:
    """The slots that have been named in the history, or follow from what has been: price and number give the total."""
    said = set().union(*named)
    return said | {slot for slot, sources in INFERRED.items() if any(source <= said for source in sources)}


def candidates(talk: dict, scenario: str, language: str, split: str, rng: random.Random) -> dict:
    """A position of the dialogue and ten replies for it: the true one, three wrong by a slot, three by act, three by scenario."""
    acts = [turn["act"] for turn in talk["turns"]]
    position = rng.choice([at for at in range(2, min(7, len(acts))) if acts[at] in REPLIES])
    act, state, said = acts[position], talk["states"][position], known(talk["named"][:position])
    found = {talk["turns"][position]["text"]: ("correct", scenario, act)}
    facts = written(state, scenario, language)

    def add(kind: str, place: str, which: str, values: dict) -> bool:
        """Add a reply; one of kind `slots` must contradict the history, whatever its phrasing."""
        text, _, slots = say(which, values, place, language, split, rng)
        other = written(values, place, language)
        if text in found or (kind == "slots" and all(facts[slot] == other[slot] for slot in slots & said)):
            return False
        found[text] = (kind, place, which)
        return True

    middle, wrongs, tries = state, [], 0  # three replies differ in one slot from a middle one: in a quarter of cases the true one
    moves = rng.random() < 0.75
    while len(wrongs) < 3:
        slot, tries = rng.choice(list(state)), tries + 1
        values = middle | {slot: draw(scenario, language, split, rng)[slot]}
        if tries < 9 and not wrongs:
            values = talk["states"][0]  # what was agreed before a change, if there was one
        if add("slots", scenario, act, values):
            wrongs.append(values)
            middle = wrongs[0] if moves else state
    others = [other for other in ASSISTANT if other != act and (other != "ask_name" or act in ("confirm", "close"))]
    for other in rng.sample(others, 3):  # an act of before comes again, as it was or with a wrong slot; else one with other slots
        values = draw(scenario, language, split, rng)
        if other in acts[:position]:
            values = talk["states"][acts.index(other)] if act == "answer" or rng.random() < 0.5 else wrongs[0]
        while not add("act", scenario, other, values):
            pass
    for place in rng.sample([other for other in LISTS["scenarios"] if other != scenario], 3):
        while not add("scenario", place, rng.choice(REPLIES), draw(place, language, split, rng)):
            pass
    texts = rng.sample(list(found), len(found))
    return {
        "position": position,
        "candidates": texts,
        "correct": texts.index(talk["turns"][position]["text"]),
        "candidate_kinds": [found[text][0] for text in texts],
        "candidate_acts": ["/".join(found[text][1:]) for text in texts],
    }


def compose(seed: int = 0) -> list[dict]:
    """All dialogues, by language and split; those of validation and test have candidates, those of transfer no acts."""
    rows = []
    for language in LANGUAGES:
        for split, size in SIZES.items():
            rng = random.Random(f"{seed} {language} {split}")
            for number in range(size):
                scenario = list(LISTS["scenarios"])[number % len(LISTS["scenarios"])]
                talk = dialogue(scenario, language, split, rng)
                row = {"id": f"{language}-{split}-{number + 1:03}", "language": language, "split": split, "scenario": scenario}
                row |= {"turns": talk["turns"], "template": talk["template"]}
                if split in ("validation", "test"):
                    row |= candidates(talk, scenario, language, split, rng)
                if split == "transfer":
                    row["turns"] = [turn | {"act": None} for turn in row["turns"]]
                rows.append(row)
    return rows


def main() -> None:
    rows = compose()
    for language in LANGUAGES:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["language"] == language]
        (Path(__file__).parent / f"dialogues.{language}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
