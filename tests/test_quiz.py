"""Quizzes: what every one of them keeps to, what is refused, and the HTML that pages and notebooks show."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from kdlib import InputError, quiz
from kdlib.files import packaged

ROOT = Path(__file__).parent.parent
QUIZZES = sorted((ROOT / "book" / "quizzes").glob("*.yml"))

every_quiz = pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)


def questions(path: Path) -> list[dict[str, Any]]:
    return quiz.load(path)["questions"]


def right(question: dict[str, Any]) -> int:
    """The place of the right option."""
    return ["right" in option for option in question["options"]].index(True)


class Parsed(HTMLParser):
    """Elements by tag with their attributes, and the text of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


# the kit's quizzes


def test_every_chapter_up_to_the_last_one_asked_about_belongs_to_one_quiz() -> None:
    chapters = [chapter for path in QUIZZES for chapter in quiz.load(path)["chapters"]]
    there = sorted(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert chapters == there[: len(chapters)] and len(chapters) >= 10


@every_quiz
def test_ten_questions_with_three_or_four_options_each_of_them_explained(path: Path) -> None:
    assert len(questions(path)) == 10
    for question in questions(path):
        assert 3 <= len(question["options"]) <= 4
        whys = [option["why"] for option in question["options"]]
        assert len(set(whys)) == len(whys) and all(len(why) > 60 for why in whys), question["question"]


@every_quiz
def test_the_right_option_is_told_neither_by_its_place_nor_by_its_length(path: Path) -> None:
    places = [right(question) for question in questions(path)]
    assert {0, 1, 2, 3} == set(places) and max(map(places.count, places)) <= 4
    lengths = [[len(option["text"]) for option in question["options"]] for question in questions(path)]
    for most in (max, min):
        alone = [row[place] == most(row) and row.count(row[place]) == 1 for row, place in zip(lengths, places, strict=True)]
        assert sum(alone) <= 4, most


@every_quiz
def test_each_question_names_a_section_that_is_there(path: Path) -> None:
    for question in questions(path):
        place = re.fullmatch(r"notebook (\d\d), section (\d+(?:\.\d+)?)", question["see"])
        assert place and place[1] in quiz.load(path)["chapters"], question["see"]
        (notebook,) = (ROOT / "notebooks").glob(f"{place[1]}_*.ipynb")
        cells = nbformat.read(notebook, as_version=4).cells
        headings = [line for cell in cells if cell.cell_type == "markdown" for line in re.findall(r"^##+ .+", cell.source, re.M)]
        assert [line for line in headings if re.match(rf"##+ {re.escape(place[2])}[. ]", line)], question["see"]


@every_quiz
def test_texts_are_plain(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "$" not in text and "\\" not in text and "](" not in text
    for question in questions(path):
        for part in (question["question"], *(option[key] for option in question["options"] for key in ("text", "why"))):
            assert "`" not in re.sub(r"`[^`]+`", "", part) and part.count("`") % 2 == 0, part
            assert "*" not in re.sub(r"`[^`]+`|\*[^*\s][^*]*\*", "", part), part


@every_quiz
def test_its_notebook_shows_it_as_it_is(path: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "quizzes" / f"{path.stem}.ipynb", as_version=4)
    nbformat.validate(notebook)
    title, code = notebook.cells
    loaded = quiz.load(path)
    assert title.source.startswith(f"# {loaded['title']}\n\n")
    assert f"notebooks {loaded['chapters'][0]} to {loaded['chapters'][-1]}" in title.source
    assert code.source == f'from kdlib import quiz\n\nquiz.show("{path.stem}")' and code.metadata == {}
    (output,) = code.outputs
    assert output.data["text/html"] == quiz.show(path.stem).data, "the quiz has changed: run its notebook and save it"


# what is refused


def question(**changes: Any) -> dict[str, Any]:
    """A good question, or one with something changed."""
    options = [{"text": "one", "why": "less than two"}, {"text": "two", "why": "one and one", "right": True}]
    return {"question": "one and one?", "options": options, "see": "notebook 00, section 1"} | changes


GOOD = [question()["options"][0], question()["options"][1]]
BAD_QUESTIONS = {
    "no see": ({key: value for key, value in question().items() if key != "see"}, "Question 2 of bad.yml needs"),
    "something more": (question(hint="x"), "Question 2 of bad.yml needs"),
    "a text": ("one and one?", "Question 2 of bad.yml needs"),
    "options by name": (question(options={"one": "less than two"}), "Question 2 of bad.yml needs"),
    "no why": (question(options=[GOOD[1], {"text": "one"}]), "each option needs text and why"),
    "options of text": (question(options=["one", "two"]), "each option needs text and why"),
    "a number": (question(options=[GOOD[1], {"text": 1, "why": "less"}]), r"\[1\] is no text"),
    "a blank": (question(question=" "), "is no text"),
    "a truth value": (question(options=[GOOD[1], {"text": True, "why": "less"}]), r"\[True\] is no text"),
    "one option": (question(options=[GOOD[1]]), "different options, two or more"),
    "the same twice": (question(options=[GOOD[1], {"text": "two", "why": "again"}]), "different options, two or more"),
    "none right": (question(options=[GOOD[0], {"text": "three", "why": "more"}]), "0 options say right: true"),
    "two right": (question(options=[GOOD[1], {"text": "2", "why": "the same", "right": True}]), "2 options say right: true"),
    "right: false": (question(options=[GOOD[1], {"text": "3", "why": "more", "right": False}]), "and the others leave it out"),
    "right: yes, as text": (
        question(options=[GOOD[0], {"text": "3", "why": "more", "right": "yes"}]),
        "0 options say right: true",
    ),
}


@pytest.mark.parametrize(("bad", "said"), BAD_QUESTIONS.values(), ids=list(BAD_QUESTIONS))
def test_a_bad_question_is_named(tmp_path: Path, bad: Any, said: str) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(yaml.safe_dump({"title": "A quiz", "chapters": ["00"], "questions": [question(), bad]}), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        quiz.load(file)
    sentence = str(caught.value)
    assert sentence.startswith("Question 2 of bad.yml") and sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "no YAML": (b"title: [", "cannot be read"),
        "no UTF-8": (b"title: caf\xe9", "cannot be read"),
        "an object": (b"!!python/object:os.system {}", "cannot be read"),
        "a list": (b"- a", "is no quiz"),
        "nothing": (b"", "is no quiz"),
        "no questions": (b"title: a\nchapters: ['00']\nquestions: []", "is no quiz"),
        "no chapters": (b"title: a\nquestions: [a]", "is no quiz"),
    }.values(),
)
def test_a_file_that_is_no_quiz_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "bad.yml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        quiz.load(file)
    assert "bad.yml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["no_such_quiz", "no_such_file.yml", "", "../quizzes/quiz.css"])
def test_a_quiz_that_is_not_there_is_a_sentence(source: str) -> None:
    with pytest.raises(InputError, match="give a .yml file in UTF-8, or the name of a quiz of the kit, such as 1_foundations"):
        quiz.load(source)


def test_a_quiz_is_loaded_by_name_and_by_path() -> None:
    assert quiz.load("1_foundations") == quiz.load(QUIZZES[0]) == quiz.load(str(packaged("book", "quizzes", "1_foundations.yml")))


# HTML

TRAP = "<script>alert(1)</script> \" onclick='alert(2)' & `a < b` *so* </fieldset>"


def trapped() -> dict[str, Any]:
    options = [{"text": TRAP, "why": TRAP}, {"text": "two", "why": TRAP, "right": True}]
    return {"title": TRAP, "chapters": ["00"], "questions": [{"question": TRAP, "options": options, "see": TRAP}]}


def test_texts_are_escaped_wherever_they_stand() -> None:
    page = Parsed(quiz.to_html(trapped(), say=lambda text: f"{text} {TRAP}"))
    assert len(page.all("script")) == 1 and len(page.all("fieldset")) == 1
    assert not [attributes for _, attributes in page.found if "onclick" in attributes]
    (form,) = page.all("form")
    assert form["aria-label"] == TRAP and form["data-count"] == f"{{right}} of {{all}} right at the first try {TRAP}"
    for option in page.all("input"):  # what the script shows: HTML once more
        inner = Parsed(option["data-why"] or "")
        assert [tag for tag, _ in inner.found] == ["code", "em"] and "<script>alert(1)</script>" in inner.text
    legend_and_after = page.text.split("1. ", 1)[1]
    assert legend_and_after.startswith("<script>alert(1)</script> \" onclick='alert(2)' & a < b so </fieldset>")


def test_code_and_emphasis_are_all_the_markup_there_is() -> None:
    assert quiz.rendered("a `b*c*d` *e f* 2 * 3 * 4") == "a <code>b*c*d</code> <em>e f</em> 2 * 3 * 4"
    assert quiz.rendered("x:\n`if a:\n    b < c`") == 'x:\n<code class="kd-lines">if a:\n    b &lt; c</code>'
    assert quiz.rendered("**no** [link](x) # $x$ ") == "*<em>no</em>* [link](x) # $x$"


@every_quiz
def test_radio_groups_are_labelled_and_the_right_option_is_the_right_one(path: Path) -> None:
    html = quiz.to_html(quiz.load(path))
    page = Parsed(html)
    inputs, sets = page.all("input"), page.all("fieldset")
    assert len(page.all("legend")) == len(sets) == 10 and len(page.all("label")) == len(inputs)
    assert {option["type"] for option in inputs} == {"radio"}
    for number, (fieldset, asked) in enumerate(zip(sets, questions(path), strict=True), 1):
        group = [option for option in inputs if option["name"] == str(number)]
        assert [option["value"] for option in group] == [str(place) for place in range(len(asked["options"]))]
        assert fieldset["data-right"] == str(right(asked))
        assert [option["data-mark"] for option in group].index("Right") == right(asked)
        assert [option["data-why"] for option in group] == [quiz.rendered(option["why"]) for option in asked["options"]]
    assert sum("aria-live" in attributes for _, attributes in page.found) == 10
    assert "http" not in html and " src=" not in html and "import" not in html.split("<script>")[1]


def test_another_language_and_other_questions_keep_their_own_results() -> None:
    loaded = quiz.load("1_foundations")
    keys = [
        Parsed(quiz.to_html(other)).all("form")[0]["data-key"]
        for other in (loaded, loaded, loaded | {"title": "基础测验"}, quiz.load("2_case_study"))
    ]
    assert keys[0] == keys[1] and len(set(keys)) == 3


def test_words_of_its_own_go_through_say() -> None:
    loaded = quiz.load("1_foundations")
    said = Parsed(quiz.to_html(loaded, say=lambda text: f"«{text}»"))
    plain = Parsed(quiz.to_html(loaded))
    assert {option["data-mark"] for option in said.all("input")} == {"«Right»", "«Not yet»"}
    for words in (
        "Start anew",
        "Read again:",
        "Arrow keys move between the options, Space chooses.",
        "Your first tries stay in this browser.",
    ):
        assert words in plain.text and f"«{words}»" in said.text
