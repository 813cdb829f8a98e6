"""Properties of a trimmed tokenizer, on tiny Unigram and WordPiece tokenizers made of these sentences."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaTokenizer,
)

from kdlib.errors import InputError
from kdlib.vocabulary import trim_vocabulary, unknown_rate

ENGLISH = """The room was clean and the staff were friendly
We waited two hours for a cold and tasteless dinner
A charming film with a clever ending
The battery died after three days, do not buy this phone
I have read this book twice and will read it again
The plot is thin but the actors are wonderful
Breakfast was late, the coffee was cold
Great value for money, we will come back
The screen broke in the first week
An honest and moving story about two brothers
Nothing works as described in the manual
The best soup I have had in years""".splitlines()
FRENCH = """La chambre était propre et le personnel très aimable
Nous avons attendu deux heures pour un dîner froid
Un film charmant, à la fin pleine d'esprit
La batterie est morte après trois jours, à éviter
J'ai lu ce livre deux fois et je le relirai
L'intrigue est mince mais les acteurs sont excellents
Le petit déjeuner était en retard, le café glacé
Un très bon rapport qualité-prix, nous reviendrons
L'écran s'est brisé dès la première semaine
Une histoire honnête et émouvante sur deux frères
Rien ne marche comme décrit dans la notice
La meilleure soupe que j'aie mangée depuis des années""".splitlines()
CHINESE = """房间很干净，服务员也很热情
等了两个小时，饭菜又冷又没味道
电影很好看，结局很巧妙
手机电池三天就坏了，不要买
这本书我看了两遍，还会再看
情节很单薄，但是演员很出色
早饭来得很晚，咖啡是冷的
性价比很高，我们还会再来
屏幕第一周就坏了
两兄弟的故事，真实又感人
说明书上写的功能都不能用
多年来喝过的最好的汤""".splitlines()
SENTENCES = ENGLISH + FRENCH + CHINESE
UNSEEN = ["sun 北京 ☃ snow", "Ωmega and ☃☃", "[SEP] in a text, <s> too", ""]  # with characters of no piece
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def frequent(pieces: Iterable[str]) -> Counter[str]:
    """How often each piece occurs, those that occur once only left out unless they are one character."""
    counts = Counter(pieces)
    return Counter({piece: counts[piece] for piece in sorted(counts) if counts[piece] > 1 or len(piece.strip("#")) == 1})


def scored_pieces() -> list[tuple[str, float]]:
    """A Unigram vocabulary: the frequent substrings of the words and their log shares; special tokens first."""
    words = [f"▁{word}" for text in SENTENCES for word in unicodedata.normalize("NFKC", text).split()]
    counts = frequent(w[i:j] for w in words for i in range(len(w)) for j in range(i + 1, min(i + 6, len(w)) + 1))
    scores = [(piece, math.log(count / counts.total())) for piece, count in counts.items()]
    return [(token, 0.0) for token in SPECIAL] + scores


def unigram(pieces: list[tuple[str, float]], **options: str) -> PreTrainedTokenizerFast:
    """A tokenizer like multilingual E5's from scored pieces, wherever the special tokens are among them."""
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    backend = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, ids[token]) for token in ("<s>", "</s>")],
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    tokens = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **tokens, **options)


def moved_unigram() -> PreTrainedTokenizerFast:
    """Special tokens at the end of the vocabulary, so that their ids change, then two added tokens."""
    pieces = scored_pieces()
    tokenizer = unigram(pieces[len(SPECIAL) :] + pieces[: len(SPECIAL)], padding_side="left")
    tokenizer.add_tokens(["[URL]"])
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    return tokenizer


def wordpiece() -> BertTokenizer:
    """A cased multilingual BERT in small."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalise = normalizers.BertNormalizer(lowercase=False).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = [word for text in SENTENCES for word, _ in split(normalise(text))]
    starts = frequent(w[:j] for w in words for j in range(1, len(w) + 1))
    parts = frequent(f"##{w[i:j]}" for w in words for i in range(1, len(w)) for j in range(i + 1, len(w) + 1))
    vocabulary = {piece: i for i, piece in enumerate([*special, *starts, *parts])}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=64)


def xlm_roberta() -> XLMRobertaTokenizer:
    """The class of its own that XLM-R's tokenizer has."""
    return XLMRobertaTokenizer(vocab=[*scored_pieces(), ("<mask>", 0.0)], model_max_length=64)


TOKENIZERS = {
    "unigram": unigram(scored_pieces()),
    "moved": moved_unigram(),
    "wordpiece": wordpiece(),
    "xlm-roberta": xlm_roberta(),
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return TOKENIZERS[request.param]


def pieces_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [str(tokenizer.convert_ids_to_tokens(i)) for i in tokenizer(text)["input_ids"]]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=12, deadline=None, database=None)
@given(texts=st.lists(st.sampled_from(SENTENCES + UNSEEN), min_size=1, max_size=12), keep=st.booleans())
def test_texts_are_cut_into_the_same_pieces(name: str, texts: list[str], keep: bool) -> None:
    old = TOKENIZERS[name]
    new, kept = trim_vocabulary(old, texts, keep_characters=keep)
    for text in texts:
        assert pieces_of(new, text) == pieces_of(old, text)
        assert [kept[i] for i in new(text)["input_ids"]] == old(text)["input_ids"]


def test_new_ids_are_the_kept_old_ones_in_their_old_order(tokenizer: PreTrainedTokenizerFast) -> None:
    new, kept = trim_vocabulary(tokenizer, ENGLISH)
    assert len(new) == len(kept) < len(tokenizer)
    assert kept == sorted(set(kept))
    assert new.convert_ids_to_tokens(list(range(len(new)))) == tokenizer.convert_ids_to_tokens(kept)


def test_special_tokens_and_settings_stay(tokenizer: PreTrainedTokenizerFast) -> None:
    new, kept = trim_vocabulary(tokenizer, CHINESE[:2])
    assert type(new) is type(tokenizer)
    assert new.special_tokens_map == tokenizer.special_tokens_map
    assert [kept[i] for i in new.all_special_ids] == tokenizer.all_special_ids
    assert new.get_added_vocab().keys() == tokenizer.get_added_vocab().keys()
    for name in ("model_max_length", "padding_side", "truncation_side", "model_input_names", "name_or_path"):
        assert getattr(new, name) == getattr(tokenizer, name)
    old_pair, new_pair = (t(*CHINESE[:2], padding="max_length", max_length=50) for t in (tokenizer, new))
    assert [kept[i] for i in new_pair.pop("input_ids")] == old_pair.pop("input_ids")
    assert new_pair == old_pair
    assert new.decode(new(CHINESE[0])["input_ids"]) == tokenizer.decode(tokenizer(CHINESE[0])["input_ids"])


def test_settings_of_a_loaded_tokenizer_survive() -> None:
    tokenizer = unigram(scored_pieces())
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    new, _ = trim_vocabulary(tokenizer, ENGLISH)
    assert (new.padding_side, new.truncation_side) == ("left", "left")


@pytest.mark.parametrize("kind", ["roberta", "sequence"])
def test_other_post_processors_get_the_new_ids(kind: str) -> None:
    tokenizer = moved_unigram()
    ids = tokenizer.get_vocab()
    roberta = processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]))
    tokenizer.backend_tokenizer.post_processor = (
        roberta if kind == "roberta" else processors.Sequence([processors.ByteLevel(), roberta])
    )
    new, _ = trim_vocabulary(tokenizer, ENGLISH)
    assert new("A film")["input_ids"][0] == new.bos_token_id != tokenizer.bos_token_id
    assert pieces_of(new, "A film") == pieces_of(tokenizer, "A film")


def test_the_tokenizer_given_is_not_changed(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer(["a", "b c"], padding=False, truncation=False)
    before = tokenizer.backend_tokenizer.to_str()
    trim_vocabulary(tokenizer, ENGLISH)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_padding_and_truncation_of_the_last_call_are_not_carried_over() -> None:
    tokenizer = unigram(scored_pieces())
    tokenizer(ENGLISH, padding=True, truncation=True, max_length=4)
    new, _ = trim_vocabulary(tokenizer, ENGLISH)
    assert new.backend_tokenizer.truncation is None and new.backend_tokenizer.padding is None
    assert pieces_of(new, ENGLISH[0]) == pieces_of(unigram(scored_pieces()), ENGLISH[0])


def test_round_trip_is_exact(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    new, _ = trim_vocabulary(tokenizer, SENTENCES[::2])
    new.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is type(new)
    assert again.get_vocab() == new.get_vocab()
    assert again.special_tokens_map == new.special_tokens_map
    assert (again.model_max_length, again.padding_side) == (new.model_max_length, new.padding_side)
    assert again(SENTENCES + UNSEEN).data == new(SENTENCES + UNSEEN).data


def test_a_longer_match_that_led_nowhere_is_kept() -> None:
    vocabulary = {p: i for i, p in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ab", "a", "##bc", "x"])}
    tokenizer = BertTokenizer(vocab=vocabulary)
    assert tokenizer.tokenize("abc") == ["[UNK]"]  # "ab" is the longest match, then nothing starts with "##c"
    new, _ = trim_vocabulary(tokenizer, ["abc", "xbc a"])
    assert new.tokenize("abc xbc a") == ["[UNK]", "x", "##bc", "a"]


def test_the_lowest_score_is_kept_as_unknown_characters_depend_on_it() -> None:
    special = [(piece, 0.0) for piece in SPECIAL]
    tokenizer = unigram([*special, ("▁", -1.0), ("ab", -20.0), ("c", -20.0), ("bc", -1.0), ("zz", -40.0)])
    texts = ["abc", "bc"]
    assert tokenizer.tokenize("abc") == ["▁", "ab", "c"]  # -41; "a" unknown, at -50, then "bc" would give -52
    new, _ = trim_vocabulary(tokenizer, texts)
    assert new.tokenize("abc") == ["▁", "ab", "c"]


def test_unseen_words_fall_back_to_characters(tokenizer: PreTrainedTokenizerFast) -> None:
    with_characters, _ = trim_vocabulary(tokenizer, ENGLISH[:2])
    without, _ = trim_vocabulary(tokenizer, ENGLISH[:2], keep_characters=False)
    assert unknown_rate(tokenizer, ENGLISH) == unknown_rate(with_characters, ENGLISH) == 0
    assert unknown_rate(without, ENGLISH) > 0


def test_scripts(tokenizer: PreTrainedTokenizerFast) -> None:
    latin, chinese = (trim_vocabulary(tokenizer, texts)[0].get_vocab() for texts in (ENGLISH, CHINESE[:6]))
    accents = {piece for piece in tokenizer.get_vocab() if piece in set("éèàîê")}
    assert accents and accents <= latin.keys()
    assert not accents & chinese.keys()
    assert "看" in chinese and "看" not in latin
    assert "汤" in tokenizer.get_vocab() and "汤" not in chinese  # only in the last sentence
    letters = {piece for piece in tokenizer.get_vocab() if piece.removeprefix("##") in set("abcdefgh")}
    assert letters and letters <= chinese.keys()


def test_max_size_keeps_the_most_frequent(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ENGLISH * 3 + FRENCH
    counts = Counter(i for text in texts for i in tokenizer(text, add_special_tokens=False)["input_ids"])
    _, all_kept = trim_vocabulary(tokenizer, texts, keep_characters=False)
    size = len(all_kept) // 2
    new, kept = trim_vocabulary(tokenizer, texts, keep_characters=False, max_size=size)
    assert len(new) == len(kept) == size
    assert set(kept) < set(all_kept)
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    dropped = [counts[i] for i in set(all_kept) - set(kept)]
    lasting = sorted(counts[i] for i in set(kept) - special if counts[i])
    assert max(dropped) <= lasting[1]  # the one piece below may be that of the lowest score
    assert trim_vocabulary(tokenizer, texts, keep_characters=False, max_size=10_000)[1] == all_kept
    with pytest.raises(InputError, match="max_size is 3: give at least"):
        trim_vocabulary(tokenizer, texts, max_size=3)


def test_max_size_counts_a_character_inside_of_pieces() -> None:
    special = [(piece, 0.0) for piece in SPECIAL]
    tokenizer = unigram([*special, ("x", -2.0), ("▁", -1.0), ("▁ab", -1.0), ("a", -9.0), ("b", -9.5)])
    texts = ["ab ab ab ab ab", "x x"]
    assert tokenizer.tokenize(texts[1]) == ["▁", "x", "▁", "x"]
    new, _ = trim_vocabulary(tokenizer, texts, max_size=8)  # ▁ occurs 7 times, a and ▁ab 5 times, x twice
    assert new.get_vocab().keys() == {*SPECIAL, "▁", "a", "▁ab", "b"}  # b has the lowest score


def test_unknown_rate_is_the_share_of_unknown_tokens() -> None:
    tokenizer = TOKENIZERS["wordpiece"]
    assert tokenizer.tokenize("☃ film ☃ film") == ["[UNK]", "film", "[UNK]", "film"]
    assert unknown_rate(tokenizer, ["☃ film", "film"]) == pytest.approx(1 / 3)
    assert unknown_rate(tokenizer, [""]) == unknown_rate(tokenizer, []) == 0


def test_any_iterable_of_texts() -> None:
    tokenizer = TOKENIZERS["unigram"]
    assert trim_vocabulary(tokenizer, (text for text in ENGLISH))[1] == trim_vocabulary(tokenizer, ENGLISH)[1]
    assert unknown_rate(tokenizer, iter(ENGLISH)) == 0


def test_what_cannot_be_trimmed() -> None:
    slow: Any = ByT5Tokenizer()
    bpe = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), unk_token="<unk>")
    with pytest.raises(InputError, match='BPE .*vocabulary="full"'):
        trim_vocabulary(bpe, ENGLISH)
    with pytest.raises(InputError, match='ByT5Tokenizer is a slow tokenizer.*vocabulary="full"'):
        trim_vocabulary(slow, ENGLISH)


@pytest.mark.parametrize(("texts", "says"), [("one text", "a single string"), (["a", None], "Text 1 is None")])
def test_texts_that_are_none(texts: list[str], says: str) -> None:
    for function in (trim_vocabulary, unknown_rate):
        with pytest.raises(InputError, match=says):
            function(TOKENIZERS["unigram"], texts)
    with pytest.raises(InputError, match="There are no texts"):
        trim_vocabulary(TOKENIZERS["unigram"], [])
