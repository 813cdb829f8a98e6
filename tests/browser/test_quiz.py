"""A quiz in JupyterLab: what shows before its cell has run, and its keys, which JupyterLab would take for itself.

Run: make test-browser
"""

import re
from pathlib import Path
from typing import Any

import pytest

from kdlib import quiz

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "notebooks" / "quizzes").glob("*.ipynb"))
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
CELLS = "[jupyterapp.shell.currentWidget.content.widgets.length, jupyterapp.shell.currentWidget.content.activeCellIndex]"
RUN_ALL = """async () => {
    await jupyterapp.shell.currentWidget.sessionContext.ready;
    await jupyterapp.commands.execute('notebook:run-all-cells');
}"""


@pytest.mark.parametrize("name", NAMES)
def test_a_quiz_is_answered_by_keyboard_in_jupyterlab(page: Any, lab: tuple[Path, str], name: str) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(lab[1].format(f"quizzes/{name}.ipynb"))
    page.wait_for_function(KERNEL)
    question = quiz.load(name)["questions"][0]
    place = ["right" in option for option in question["options"]].index(True)
    page.get_by_text(question["options"][0]["text"]).first.wait_for()
    assert question["options"][place]["why"][:40] not in page.locator(".jp-Notebook").inner_text()  # nothing is given away
    page.evaluate(RUN_ALL)
    page.locator(".kd-quiz[data-ready]").wait_for()
    assert page.locator(".kd-quiz output").inner_text() == "0 of 10 right at the first try"

    page.locator(".kd-quiz p").first.evaluate("(paragraph) => { paragraph.tabIndex = -1; paragraph.focus(); }")
    page.keyboard.press("Tab")
    for _ in range(place):
        page.keyboard.press("ArrowDown")
    assert page.locator(".kd-quiz input:checked").count() == 0
    cells = page.evaluate(CELLS)
    page.keyboard.press("b")  # in JupyterLab: a new cell below
    page.keyboard.press("ArrowUp")  # in JupyterLab: the cell above
    page.keyboard.press("ArrowDown")
    assert page.evaluate(CELLS) == cells
    page.keyboard.press("Space")
    fieldset = page.locator(".kd-quiz fieldset").first
    assert fieldset.locator("input:checked").input_value() == str(place)
    assert re.match(r"Right: \w", fieldset.locator("[aria-live=polite]").inner_text())
    assert page.locator(".kd-quiz output").inner_text() == "1 of 10 right at the first try"

    page.evaluate(RUN_ALL)  # the cell once more: what was tried is kept
    page.wait_for_function("document.querySelector('.kd-quiz[data-ready] output')?.textContent.startsWith('1 of 10')")
    page.get_by_role("button", name="Start anew").focus()
    page.keyboard.press("Enter")
    assert page.locator(".kd-quiz output").inner_text() == "0 of 10 right at the first try"
    assert wrong == []
