"""Trimming a tokenizer to what a corpus uses: most of a small multilingual model is its embedding matrix.

Source: Abdaoui, Pradel and Sigel (2020), "Load What You Need: Smaller Versions of Multilingual BERT".
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .errors import InputError

METASPACE = "▁"  # what Unigram pieces have in the place of a space
ASCII = {chr(code) for code in range(0x21, 0x7F)}
LATIN = {chr(code) for code in range(0xA1, 0x180)}  # Latin-1 Supplement and Latin Extended-A


def trim_vocabulary(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], keep_characters: bool = True, max_size: int | None = None
) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """A tokenizer of the same class with only the pieces that ``texts`` need, and the old ids of these.

    Kept are all special and added tokens, every piece that ``texts`` use and, with ``keep_characters``, the
    pieces of a single character (``a``, ``▁a``, ``##a``), so that an unseen word falls back to shorter pieces
    and not to the unknown token: the characters of the texts, ASCII and, where over a tenth of all letters
    are Latin, the blocks Latin-1 and Latin Extended-A. Of Chinese only the characters of the texts are kept.

    Without ``max_size`` every one of ``texts`` is cut into the same pieces as before:

    - Unigram takes the segmentation with the highest sum of scores (Kudo 2018, "Subword Regularization",
      §3.2). The best one stays the best among fewer. The piece with the lowest score is kept too, because an
      unknown character scores 10 less than that.
    - WordPiece takes the longest match from left to right. The longest stays the longest. The pieces matched
      before a word turned out to be unknown are kept too, because a shorter match might have led on.

    Args:
        tokenizer: fast, with a Unigram (XLM-R, E5) or WordPiece (BERT) vocabulary; it is not changed.
        texts: the texts that the student will see in training.
        keep_characters: whether to keep single characters, see above.
        max_size: how many pieces to keep at most, in order of frequency, where a single character counts as
            often as it occurs, also inside of longer pieces. The texts may then be cut differently.

    Returns:
        The new tokenizer and ``kept_ids``, ascending: new id i was old id ``kept_ids[i]``, so that the new
        embedding matrix is ``old[kept_ids]``.

    Raises:
        InputError: another kind of tokenizer; ``texts`` that are not strings; ``max_size`` too small for the
            special tokens.
    """
    texts = check_texts(texts)
    kind = type(tokenizer.backend_tokenizer.model).__name__ if tokenizer.is_fast else "slow"
    if kind not in ("Unigram", "WordPiece"):
        raise InputError(
            f"{type(tokenizer).__name__} is a {kind} tokenizer, but only fast Unigram and WordPiece "
            'tokenizers can be trimmed: keep it as it is with vocabulary="full".'
        )
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    model = state["model"]
    pieces = model["vocab"] if kind == "WordPiece" else {row[0]: i for i, row in enumerate(model["vocab"])}
    prefix = model.get("continuing_subword_prefix", METASPACE)

    counts = Counter(token for ids in encode(tokenizer, texts) for token in ids)
    normalised = [backend.normalizer.normalize_str(text) for text in texts] if backend.normalizer else texts
    if kind == "WordPiece":
        words = {word for text in normalised for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)}
        counts.update({i for word in words for i in longest_matches(word, pieces, prefix)} - counts.keys())
    if keep_characters:
        characters = Counter(c for text in normalised for c in METASPACE + text.replace(" ", METASPACE))
        characters.update(fallback_characters(characters))
        bodies = {i: piece.removeprefix(prefix) or piece for piece, i in pieces.items()}
        counts |= Counter({i: characters[body] for i, body in bodies.items() if body in characters})

    special = special_ids(tokenizer, state)
    wanted = sorted(counts.keys() - special, key=lambda i: (-counts[i], i))
    room = len(wanted) if max_size is None else max_size - len(special)
    if room < 0:
        raise InputError(f"max_size is {max_size}: give at least {len(special)}, for the special tokens.")
    kept = sorted(special.union(wanted[:room]))
    return cut(tokenizer, state, kept), kept


def special_ids(tokenizer: PreTrainedTokenizerFast, state: dict[str, Any]) -> set[int]:
    """The ids that stay whatever the texts are; ``state`` is the JSON of the backend tokenizer."""
    model, rows = state["model"], state["model"]["vocab"]
    special = {token["id"] for token in state["added_tokens"]} | set(tokenizer.all_special_ids)
    special.update(i for ids in processor_ids(state["post_processor"]) for i in ids if isinstance(i, int))
    if model["type"] == "WordPiece":
        return special | {rows[model["unk_token"]]}
    lowest = min(range(len(rows)), key=lambda i: rows[i][1])
    return special | {lowest, lowest if model["unk_id"] is None else model["unk_id"]}


def cut(tokenizer: PreTrainedTokenizerFast, state: dict[str, Any], kept: list[int]) -> PreTrainedTokenizerFast:
    """The tokenizer with the pieces ``kept`` only; ``state`` is changed to hold the new ids."""
    new_id = {old: new for new, old in enumerate(kept)}
    model = state["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [row for i, row in enumerate(model["vocab"]) if i in new_id]
        model["unk_id"] = new_id.get(model["unk_id"])
    else:
        model["vocab"] = {piece: new_id[i] for piece, i in model["vocab"].items() if i in new_id}
    for token in state["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for ids in processor_ids(state["post_processor"]):
        ids[:] = [new_id[i] if isinstance(i, int) else i for i in ids]
    state["padding"] = state["truncation"] = None  # left over from the last call; every call sets them anew
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        Path(folder, "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
        sides: Any = {"padding_side": tokenizer.padding_side, "truncation_side": tokenizer.truncation_side}
        trimmed = type(tokenizer).from_pretrained(folder, **sides)
    trimmed.name_or_path = tokenizer.name_or_path
    return trimmed


def unknown_rate(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> float:
    """The share of unknown tokens, 0 to 1, among the tokens of ``texts`` without special tokens around them.

    Raises ``InputError`` for ``texts`` that are not strings.
    """
    tokens = [token for ids in encode(tokenizer, check_texts(texts)) for token in ids]
    return tokens.count(tokenizer.unk_token_id) / max(1, len(tokens))


def check_texts(texts: Iterable[str]) -> list[str]:
    """``texts`` as a list; ``InputError`` when it is a single string, empty, or not all strings."""
    rows = [texts] if isinstance(texts, str) else list(texts)
    wrong = next((f"{row!r} at position {i}" for i, row in enumerate(rows) if not isinstance(row, str)), None)
    if wrong or not rows or isinstance(texts, str):
        raise InputError(f"texts must be a list of strings, not {wrong or repr(texts)[:40]}: give your corpus.")
    return rows


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Iterator[list[int]]:
    """The ids of each text, whole, without special tokens around it; 1000 texts at a time to save memory."""
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        yield from tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]


def longest_matches(word: str, vocabulary: dict[str, int], prefix: str) -> Iterator[int]:
    """The ids that WordPiece matches in ``word``, from the left until the word ends or no piece matches."""
    start, end = 0, len(word)
    while start < end:
        piece = (prefix if start else "") + word[start:end]
        if piece in vocabulary:
            yield vocabulary[piece]
            start, end = end, len(word)
        else:
            end -= 1


def fallback_characters(characters: Counter[str]) -> set[str]:
    """The characters to keep besides those seen: ASCII and, for texts in Latin script, the Latin blocks."""
    letters = sum(count for c, count in characters.items() if c.isalpha())
    latin = sum(count for c, count in characters.items() if c.isalpha() and c < "\u0250")
    return ASCII | (LATIN if latin > 0.1 * letters else set())


def processor_ids(processor: dict[str, Any] | None) -> Iterator[list[Any]]:
    """The lists in a post-processor's JSON that hold token ids (beside strings), to read or change."""
    if processor is not None:
        for part in processor.get("processors", []):
            yield from processor_ids(part)
        yield from (token["ids"] for token in processor.get("special_tokens", {}).values())
        yield from (processor[name] for name in ("sep", "cls") if name in processor)
