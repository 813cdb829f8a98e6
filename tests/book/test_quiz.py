"""The quizzes in the page: answered by keyboard, what a screen reader hears, the count, what is kept, and no barrier in light or dark.

Run: make book, then pytest tests/book/test_quiz.py     (needs Chromium, and npm on the first run)
"""

from collections.abc import Iterator
from typing import Any

import catalogues
import pytest
import quizzes
import yaml
from vendor import vendor

from kdlib import quiz

NAMES = [f"quizzes/{name}" for name in ("1_foundations", "2_case_study", "3_production", "4_what_it_cannot_do")]
KEYS = """() => Object.keys(localStorage).filter((key) => key.startsWith("kd-quiz-"))"""
LISTEN = """() => {  // what a live region says, as a screen reader would hear it
  globalThis.heard = [];
  for (const region of document.querySelectorAll(".kd-quiz [aria-live], .kd-quiz output")) {
    new MutationObserver(() => heard.push(region.textContent.trim())).observe(region, { childList: true, subtree: true, characterData: true });
  }
}"""


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page with a store of its own, on which no error may happen."""
    context, wrong = browser.new_context(viewport={"width": 1000, "height": 800}), []
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


def asked(name: str) -> list[dict[str, Any]]:
    return quiz.load(name.rpartition("/")[2])["questions"]


def right(question: dict[str, Any]) -> int:
    """The place of the right option."""
    return ["right" in option for option in question["options"]].index(True)


def text(html: str, page: Any) -> str:
    """What HTML says."""
    return page.evaluate(
        "(html) => { const box = document.createElement('div'); box.innerHTML = html; return box.textContent; }", html
    )


def answer(page: Any, place: int) -> None:
    """Go on to the next question by Tab, to an option by arrows, and choose it by Space."""
    page.keyboard.press("Tab")
    for _ in range(place):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")


def focus_before_the_first_question(page: Any) -> None:
    page.locator(".kd-quiz p").first.evaluate("(paragraph) => { paragraph.tabIndex = -1; paragraph.focus(); }")


def count(page: Any) -> str:
    return page.locator(".kd-quiz output").inner_text()


def leave_links_out(page: Any) -> None:
    """So that one Tab leads from question to question: the links to chapters are looked at by themselves."""
    page.add_style_tag(content=".kd-see { display: none }")


def test_every_text_of_a_quiz_is_translated_and_nothing_else() -> None:
    for path in quizzes.files():
        loaded = quiz.load(path)
        parts = [part for question in loaded["questions"] for part in (question["question"], question["see"])]
        parts += [option[key] for question in loaded["questions"] for option in question["options"] for key in ("text", "why")]
        assert set(catalogues.messages(path)) == {loaded["title"], *parts}
        assert yaml.safe_load(catalogues.translate_document(path, lambda text: text)) == loaded
        turned = yaml.safe_load(catalogues.translate_document(path, lambda text: text[::-1]))
        assert turned["chapters"] == loaded["chapters"] and turned["title"] == loaded["title"][::-1]
        assert set(catalogues.messages(path)) <= catalogues.read(f"book/quizzes/{path.stem}", "zh_CN").keys()


def test_a_quiz_stands_in_the_part_of_its_last_chapter() -> None:
    assert [quizzes.pages(numbers) for numbers in (range(5), range(5, 8), range(8, 10), range(10, 15))] == [
        [name] for name in NAMES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_answered_by_keyboard_and_every_answer_is_explained_aloud(page: Any, site: str, name: str) -> None:
    page.goto(f"{site}/{name}.html")
    leave_links_out(page)
    page.evaluate(LISTEN)
    assert count(page) == "0 of 10 right at the first try"
    focus_before_the_first_question(page)
    good = 0
    for number, question in enumerate(asked(name)):
        place = right(question) if number % 3 else (right(question) + 1) % len(question["options"])  # every third one wrong
        good += place == right(question)
        answer(page, place)
        fieldset = page.locator(".kd-quiz fieldset").nth(number)
        word = "Right" if place == right(question) else "Not yet"
        explanation = f"{word}: {text(quiz.rendered(question['options'][place]['why']), page)}"
        assert fieldset.locator("[aria-live=polite]").text_content() == explanation
        assert page.evaluate("heard.splice(0)") == [explanation, f"{good} of 10 right at the first try"]
        assert fieldset.locator("label b").all_inner_texts() == [
            word if i == place else "" for i in range(len(question["options"]))
        ]
        assert fieldset.locator("input:checked").input_value() == str(place)
    assert good == 6


def test_arrows_alone_choose_nothing_and_go_round(page: Any, site: str) -> None:
    page.goto(f"{site}/{NAMES[0]}.html")
    focus_before_the_first_question(page)
    page.keyboard.press("Tab")
    focused = "document.activeElement.value"
    assert [
        page.keyboard.press(key) or page.evaluate(focused)
        for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft")
    ] == ["1", "2", "1", "0", "3"]
    assert page.locator(".kd-quiz input:checked").count() == 0 and page.evaluate(KEYS) == []
    page.keyboard.press("Enter")
    assert page.url == f"{site}/{NAMES[0]}.html"  # the form is not sent


def test_only_the_first_try_counts(page: Any, site: str) -> None:
    page.goto(f"{site}/{NAMES[0]}.html")
    question, place = page.locator(".kd-quiz fieldset").first, right(asked(NAMES[0])[0])
    question.get_by_role("radio").nth((place + 1) % 4).check()
    question.get_by_role("radio").nth(place).check()
    assert count(page) == "0 of 10 right at the first try"
    assert question.locator("[aria-live]").inner_text().startswith("Right:")
    assert sorted(question.locator("label b").all_inner_texts()) == [
        "",
        "",
        "Not yet",
        "Right",
    ]  # what has been tried stays marked


def test_tries_are_kept_and_forgotten_on_demand(page: Any, site: str) -> None:
    page.goto(f"{site}/{NAMES[1]}.html")
    questions = asked(NAMES[1])
    first, second = (page.locator(".kd-quiz fieldset").nth(number) for number in (0, 4))
    first.get_by_role("radio").nth(right(questions[0])).check()
    second.get_by_role("radio").nth((right(questions[4]) + 1) % 4).check()
    second.get_by_role("radio").nth(right(questions[4])).check()
    said = first.locator("[aria-live]").inner_text()
    page.reload()
    assert count(page) == "1 of 10 right at the first try"
    assert first.locator("[aria-live]").inner_text() == said
    assert second.locator("input:checked").input_value() == str((right(questions[4]) + 1) % 4)  # the first try, not the last
    assert second.locator("[aria-live]").inner_text().startswith("Not yet:")
    page.goto(f"{site}/{NAMES[2]}.html")
    assert count(page) == "0 of 10 right at the first try"  # another quiz keeps its own
    page.goto(f"{site}/{NAMES[1]}.html")
    page.get_by_role("button", name="Start anew").focus()
    page.keyboard.press("Enter")
    for _ in range(2):
        assert count(page) == "0 of 10 right at the first try"
        assert page.locator(".kd-quiz input:checked").count() == 0
        assert "".join(page.locator(".kd-quiz [aria-live], .kd-quiz label b").all_inner_texts()) == ""
        assert page.locator(".kd-see:visible").count() == 0
        page.reload()


def test_where_nothing_can_be_kept_it_works_until_the_page_is_left(page: Any) -> None:
    page.set_content(quiz.to_html(quiz.load("1_foundations")))  # about:blank has no store: to ask for one is an error there
    page.locator(".kd-quiz fieldset").first.get_by_role("radio").nth(right(asked(NAMES[0])[0])).check()
    assert count(page) == "1 of 10 right at the first try"


def test_two_quizzes_on_one_page_and_the_same_one_twice_do_not_mix(page: Any, site: str) -> None:
    page.goto(f"{site}/{NAMES[0]}.html")
    fragments = [quiz.to_html(quiz.load(name.rpartition("/")[2])) for name in (NAMES[0], NAMES[1], NAMES[0])]
    page.set_content("<!doctype html><title>three</title>" + "".join(fragments))
    forms = [page.locator(".kd-quiz").nth(number) for number in range(3)]
    for form, name in zip(forms[:2], NAMES, strict=False):
        form.locator("fieldset").first.get_by_role("radio").nth(right(asked(name)[0])).check()
    assert [form.locator("input:checked").count() for form in forms] == [1, 1, 0]
    assert [form.locator("output").inner_text()[:1] for form in forms] == ["1", "1", "0"]
    forms[0].get_by_role("button").click()
    assert [form.locator("output").inner_text()[:1] for form in forms] == ["0", "1", "0"]


def test_what_to_read_again_is_a_link_to_the_chapter(page: Any, site: str) -> None:
    for edition in ("", "zh/"):
        page.goto(f"{site}/{edition}{NAMES[0]}.html")
        fieldset = page.locator(".kd-quiz fieldset").nth(4)
        assert fieldset.locator(".kd-see").is_hidden()
        fieldset.get_by_role("radio").first.check()
        link = fieldset.locator(".kd-see a")
        assert link.evaluate("(link) => link.href") == f"{site}/{edition}notebooks/03_distillation_loss.html"


def test_the_chinese_edition_keeps_tries_of_its_own(page: Any, site: str) -> None:
    page.goto(f"{site}/{NAMES[0]}.html")
    page.locator(".kd-quiz input").first.check()
    page.goto(f"{site}/zh/{NAMES[0]}.html")
    assert page.locator(".kd-quiz input:checked").count() == 0
    assert any("\u4e00" <= character <= "\u9fff" for character in page.locator(".kd-quiz legend").first.inner_text())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", [NAMES[0], f"zh/{NAMES[1]}"])
def test_no_serious_barrier_with_every_question_answered(page: Any, site: str, name: str, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(f"{site}/{name}.html")
    for fieldset in page.locator(".kd-quiz fieldset").all():
        fieldset.get_by_role("radio").nth(1).check()
    page.add_script_tag(path=str(vendor("axe-core") / "axe.min.js"))
    found = page.evaluate("axe.run('.kd-quiz', {resultTypes: ['violations']})")["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:150]) for rule in found if rule["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.dataset.theme") == theme


@pytest.mark.parametrize("width", [320, 1000])
def test_it_fits_the_page(page: Any, site: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for name in NAMES:
        page.goto(f"{site}/{name}.html")
        for fieldset in page.locator(".kd-quiz fieldset").all():
            fieldset.get_by_role("radio").first.check()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = "(part) => part.scrollWidth > part.clientWidth + 1"
        assert not [
            part.inner_text()
            for part in page.locator(".kd-quiz fieldset, .kd-quiz code.kd-lines").all()
            if part.evaluate(outside)
        ]
