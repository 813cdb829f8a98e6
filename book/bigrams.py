"""Search in Chinese without a dictionary: a run of Chinese characters is found by its pairs of neighbours, in the index as in the query."""

import re
from typing import Any

from sphinx.search.en import SearchEnglish

RUN = re.compile(r"[一-鿿]+|[^\W_一-鿿]+")
SPLIT_IN_PAGE = """
var splitQuery = (query) => (query.match(/[一-鿿]+|[^\\s\\p{P}\\p{S}一-鿿]+/gu) ?? []).flatMap((run) =>
  /[一-鿿]/.test(run) && run.length > 2 ? [...run].slice(1).map((character, i) => run[i] + character) : [run]);
"""


class ChineseBigrams(SearchEnglish):
    """Latin words as in English; of Chinese, every two characters that stand side by side."""

    lang = "zh"
    language_name = "English"  # whose stemmer the page loads
    js_splitter_code = SPLIT_IN_PAGE

    def split(self, input: str) -> list[str]:
        """Words and pairs of characters."""
        parts: list[str] = []
        for run in RUN.findall(input):
            chinese = "一" <= run[0] <= "鿿" and len(run) > 2
            parts += [run[i : i + 2] for i in range(len(run) - 1)] if chinese else [run]
        return parts

    def word_filter(self, stemmed_word: str) -> bool:
        """Keep single Latin letters out, and stop words."""
        return len(stemmed_word) > 1 and super().word_filter(stemmed_word)

    def stem(self, word: str) -> Any:
        """English stems; Chinese stays as it is."""
        return super().stem(word) if word.isascii() else word
