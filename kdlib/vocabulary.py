"""Trimming a tokenizer to what a corpus uses: most of a small multilingual model is its embedding matrix.

Source: Abdaoui, Pradel and Sigel (2020), "Load What You Need: Smaller Versions of Multilingual BERT".
"""

import copy
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .errors import require
from .evaluate import check_texts

METASPACE = "▁"  # what Unigram pieces have in the place of a space
ASCII = {chr(code) for code in range(0x21, 0x7F)}
LATIN = {chr(code) for code in range(0xA1, 0x180)}  # Latin-1 Supplement and Latin Extended-A


def trim_vocabulary(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], keep_characters: bool = True,
                    max_size: int | None = None) -> tuple[PreTrainedTokenizerFast, list[int]]:  # fmt: skip
    """A tokenizer of the same class with only the pieces that ``texts`` need, and the old ids of these.

    Kept are all special and added tokens, every piece that ``texts`` use and, with ``keep_characters``, the
    pieces of a single character (``a``, ``▁a``, ``##a``), so that an unseen word falls back to shorter pieces
    and not to the unknown token: the characters of the texts, ASCII and, where over a tenth of all letters
    are Latin, the blocks Latin-1 and Latin Extended-A. Of Chinese only the characters of the texts are kept.

    Without ``max_size`` every one of ``texts`` is cut into the same pieces as before:

    - Unigram takes the segmentation with the highest sum of scores (Kudo 2018, "Subword Regularization",
      §3.2). The best one stays the best among fewer. The piece with the lowest score is kept too, because an
      unknown character scores 10 less than that.
    - WordPiece takes the longest match from left to right. The longest stays the longest. All pieces within
      a word that turned out to be unknown are kept too, because without them a shorter match might have led on.

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
        InputError: another kind of tokenizer; ``texts`` that are none or not strings; ``max_size`` too small
            for the special tokens.
    """
    texts = check_texts(texts)
    require(texts, "There are no texts to trim the vocabulary to: give your corpus.")
    kind = type(tokenizer.backend_tokenizer.model).__name__ if tokenizer.is_fast else "slow"
    problem = f"{type(tokenizer).__name__} is a {kind} tokenizer, but only fast Unigram and WordPiece ones can be trimmed"
    require(kind in ("Unigram", "WordPiece"), f'{problem}: keep it as it is with vocabulary="full".')
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    model = state["model"]
    pieces = model["vocab"] if kind == "WordPiece" else {piece: i for i, (piece, _) in enumerate(model["vocab"])}

    counts = Counter(token for ids in encode(tokenizer, texts) for token in ids)
    normalised = [backend.normalizer.normalize_str(text) for text in texts] if backend.normalizer else texts
    bodies = {i: piece.removeprefix(model.get("continuing_subword_prefix", METASPACE)) or piece for piece, i in pieces.items()}
    special = {token["id"] for token in state["added_tokens"]} | set(tokenizer.all_special_ids)
    special.update(i for ids in processor_ids(state["post_processor"] or {}) for i in ids if isinstance(i, int))
    if kind == "WordPiece":
        special.add(pieces[model["unk_token"]])
        words = {word for text in normalised for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)}
        unknown = " ".join(word for word in words if model["unk_token"] in [t.value for t in backend.model.tokenize(word)])
        counts.update({i for i, body in bodies.items() if body in unknown} - counts.keys())
    else:  # the unknown token and the piece of the lowest score
        special |= {min(range(len(model["vocab"])), key=lambda i: model["vocab"][i][1]), model["unk_id"]} - {None}
    if keep_characters:
        characters = Counter(c for text in normalised for c in METASPACE + text.replace(" ", METASPACE))
        latin = [c < "\u0250" for c in characters.elements() if c.isalpha()]
        characters.update(ASCII | LATIN if sum(latin) > 0.1 * len(latin) else ASCII)
        counts |= Counter({i: characters[body] for i, body in bodies.items() if body in characters})

    wanted = sorted(counts.keys() - special, key=lambda i: (-counts[i], i))
    room = len(wanted) if max_size is None else max_size - len(special)
    require(room >= 0, f"max_size is {max_size}: give at least {len(special)}, for the special tokens.")
    kept = sorted(special.union(wanted[:room]))
    return cut(tokenizer, state, kept), kept


def cut(tokenizer: PreTrainedTokenizerFast, state: dict[str, Any], kept: list[int]) -> PreTrainedTokenizerFast:
    """The tokenizer with the pieces ``kept`` only; ``state``, the JSON of its backend, is changed to hold the new ids."""
    new_id, model = {old: new for new, old in enumerate(kept)}, state["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [row for i, row in enumerate(model["vocab"]) if i in new_id]
        model["unk_id"] = new_id.get(model["unk_id"])
    else:
        model["vocab"] = {piece: new_id[i] for piece, i in model["vocab"].items() if i in new_id}
    for token in state["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for ids in processor_ids(state["post_processor"] or {}):
        ids[:] = [new_id.get(i, i) for i in ids]
    state["padding"] = state["truncation"] = None  # left over from the last call; every call sets them anew
    trimmed: Any = copy.deepcopy(tokenizer)
    trimmed._tokenizer = Tokenizer.from_str(json.dumps(state))
    return trimmed


def unknown_rate(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> float:
    """The share of unknown tokens, 0 to 1, among the tokens of ``texts`` without special tokens around them; 0 of none.

    Raises ``InputError`` for ``texts`` that are not strings.
    """
    tokens = [token for ids in encode(tokenizer, check_texts(texts)) for token in ids]
    return tokens.count(tokenizer.unk_token_id) / max(1, len(tokens))


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Iterator[list[int]]:
    """The ids of each text, whole, without special tokens around it; 1000 texts at a time to save memory."""
    for i in range(0, len(texts), 1000):
        yield from tokenizer(texts[i : i + 1000], add_special_tokens=False, verbose=False)["input_ids"]


def processor_ids(processor: dict[str, Any]) -> Iterator[list[Any]]:
    """The lists in a post-processor's JSON that hold token ids (beside strings), to read or change."""
    for part in processor.get("processors", []):
        yield from processor_ids(part)
    yield from (token["ids"] for token in processor.get("special_tokens", {}).values())
    yield from (processor[name] for name in ("sep", "cls") if name in processor)
