"""The exam bank: what every question keeps to, the numbers of its model answers computed anew, and the page made of it."""

import ast
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from scipy import stats

from kdlib import losses

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book"))
import assemble  # noqa: E402
import exam  # noqa: E402

QUESTIONS: list[dict[str, Any]] = exam.questions()
CHECKED = [question for question in QUESTIONS if "check" in question]
CHAPTERS = [f"{number:02d}" for number in range(1, 10)]


def compute(check: str, answer: str) -> list[str]:
    """The texts in the last line of a check; none where that line is no value."""
    program = re.search(r"```python\n(.*?)```", answer, re.S)
    names: dict[str, Any] = {"math": math, "np": np, "stats": stats, "F": F, "torch": torch, "losses": losses, "code": program and program[1]}
    tree = ast.parse(check)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "check", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "check", "eval"), names) if isinstance(last, ast.Expr) else []
    return [value] if isinstance(value, str) else list(value)


def says(answer: str, text: str) -> bool:
    """Does the text stand in the answer, and not as a part of a longer number?"""
    plain = answer.replace("{,}", ",").replace("−", "-")
    return bool(re.search(rf"(?<![\d.,]){re.escape(text.replace('−', '-'))}(?!\d|[.,]\d)", plain))


def test_there_are_sixty_questions_of_all_levels_on_all_chapters() -> None:
    assert len(QUESTIONS) == len({question["id"] for question in QUESTIONS}) == 60
    assert Counter(question["level"] for question in QUESTIONS) == dict(zip(exam.LEVELS, (8, 12, 16, 12, 8, 4), strict=True))
    assert [question["id"] for question in QUESTIONS] == sorted(question["id"] for question in QUESTIONS)
    assert sorted({question["notebook"] for question in QUESTIONS}) == CHAPTERS
    assert len(CHECKED) >= 20


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
def test_a_question_is_complete_and_its_points_add_up(question: dict[str, Any]) -> None:
    assert question.keys() - {"check"} == {"id", "notebook", "level", "points", "minutes", "question", "answer"}
    assert question["id"].startswith(f"{question['notebook']}-") and 3 <= question["minutes"] <= 20
    assert list((ROOT / "notebooks").glob(f"{question['notebook']}_*.ipynb"))
    scheme = question["answer"].rsplit("\n\n", 1)[1]
    assert scheme.startswith("*Points:* ") and "\n" not in scheme
    assert sum(map(int, re.findall(r"(\d+) for ", scheme))) == question["points"], scheme
    for text in (question["question"], question["answer"]):
        assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0 and "TODO" not in text


@pytest.mark.filterwarnings("ignore:reduction. 'mean'", "ignore:Converting a tensor")
@pytest.mark.parametrize("question", CHECKED, ids=lambda question: question["id"])
def test_the_numbers_of_an_answer_come_out_of_its_check(question: dict[str, Any]) -> None:
    missing = [text for text in compute(question["check"], question["answer"]) if not says(question["answer"], text)]
    assert not missing, f"the answer to {question['id']} does not say {missing}"


def test_a_check_that_computes_another_number_is_noticed() -> None:
    assert says("about 106,667 texts, 5.33", "106,667") and says("$12{,}617{,}219$", "12,617,219") and says("−0.4", "-0.4")
    assert not says("15.33 texts", "5.33") and not says("5.33 texts", "5.3") and not says("106,667", "667")
    assert compute("x = 1 / 3\nf'{x:.2f}', '7'", "") == ["0.33", "7"] and compute("assert True", "") == []
    with pytest.raises(AssertionError):
        compute("exec(code)\nassert twice(2) == 5", "```python\ndef twice(x):\n    return 2 * x\n```")


def test_no_question_of_a_quiz_is_asked_again() -> None:
    def words(text: str) -> set[tuple[str, ...]]:
        plain = re.findall(r"\w+", text.lower())
        return {tuple(plain[place : place + 7]) for place in range(len(plain))}

    asked = [entry for path in ROOT.glob("book/quizzes/*.yml") for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["questions"]]
    assert len(asked) >= 30
    for question in QUESTIONS:
        for entry in asked:
            common = words(question["question"]) & words(entry["question"])
            assert len(common) <= 2, (question["id"], common)


def test_the_page_has_every_question_with_its_answer_folded_in(tmp_path: Path) -> None:
    edition = assemble.Edition("en", tmp_path)
    exam.write(edition)
    page = (tmp_path / "instructor" / "exam.md").read_text(encoding="utf-8")
    assert edition.written == {"instructor/exam"} and page.startswith("# ") and page.count("::::{dropdown}") == page.count("\n::::\n") == 60
    assert [heading[:2] for heading in re.findall(r"^## (.+)$", page, re.M)] == CHAPTERS
    assert re.findall(r"^### (\d\d-\d)", page, re.M) == [question["id"] for question in QUESTIONS]
    assert "check" not in page.split("## ")[0] and "exec(code)" not in page and "](../notebooks/" in page
    for question in QUESTIONS:
        assert question["question"] in page and question["answer"].splitlines()[0] in page
