"""The explorers that compute in the page, in the place of interactive cells of the notebooks.

Texts and defaults have one source, the notebook's own cell ``explore(draw, control=Widget(…), …)``: the controls are read from it.
Of the notebook nothing runs but the expressions of these widgets and the assignments and imports that they name. The page's part
is _static/explorers.js, which makes from each container the controls and the picture.
"""

import ast
import builtins
import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from kdlib.errors import InputError, require

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
EXPLORERS = {  # notebook and the function that its cell explores: name of the explorer
    ("02_softmax_and_temperature", "draw_temperature"): "temperature",
    ("03_distillation_loss", "draw_mix"): "loss-mix",
    ("03_distillation_loss", "draw_directions"): "kl-directions",
    ("04_binary_cross_entropy", "draw"): "bce-gradient",
    ("05_multilingual_teacher", "draw_pieces"): "tokens",
    ("07_case_study_zh_en_fr", "threshold_figure"): "threshold",
}
GIVEN = {  # what the notebook's function takes from outside its arguments, as expressions of the notebook's names
    "temperature": {"topics": "topics"},
    "loss-mix": {"topics": "topics", "teacher": "v.tolist()", "student": "z.tolist()"},
    "kl-directions": {"line": "line.tolist()", "means": "means[:, 0].tolist()", "widths": "widths[0].tolist()"},
}
STUDENTS = [("Chinese student", "zh"), ("English student", "en"), ("French student", "fr")]
INSTEAD = {  # the notebook's own tokenizers are too large for a page, or made as it runs
    ("tokens", "cut"): widgets.Dropdown(options=[*STUDENTS, ("characters", "characters"), ("UTF-8 bytes", "bytes")]),
}


def container(notebook: str, source: str) -> str | None:
    """The HTML of the explorer that stands for a code cell; None where no explorer of ours does.

    ``notebook`` is the name of its file without suffix, ``source`` the cell's code. Raises ``InputError`` for a control that no
    page can show.
    """
    call = next(iter(calls(source)), None)
    name = EXPLORERS.get((notebook, drawn(call))) if call else None
    if call is None or name is None:
        return None
    before = statements_before(notebook, source)
    given = {key: evaluate(ast.parse(text, mode="eval").body, before) for key, text in GIVEN.get(name, {}).items()}
    data = {"controls": controls(name, call, before), "given": given}
    attributes = "".join(f' data-{key}="{html.escape(json.dumps(value, ensure_ascii=False))}"' for key, value in data.items())
    return f'<div class="kd-explorer" data-explorer="{name}"{attributes}></div>'


@cache
def containers() -> dict[str, str]:
    """Every explorer by its name. Raises ``InputError`` where a notebook has no longer the cell of one."""
    found = {}
    for (notebook, function), name in EXPLORERS.items():
        cells = [cell for cell in code_of(notebook) if any(drawn(call) == function for call in calls(cell))]
        require(len(cells) == 1, f"{notebook}.ipynb has {len(cells)} cells with explore({function}, …), where the book's explorer "
                f"{name!r} needs one: change EXPLORERS in book/explorers.py.")  # fmt: skip
        found[name] = container(notebook, cells[0]) or ""
    return found


def labels() -> list[str]:
    """All words of the controls, each once: what is to be translated."""
    found = []
    for text in containers().values():
        data = {key: json.loads(html.unescape(value)) for key, value in re.findall(r'data-(controls|given)="([^"]*)"', text)}
        for control in data["controls"]:
            found += [control["label"], *(label for label, _ in control.get("options", []))]
        found += data["given"].get("topics", [])
    return [label for label in dict.fromkeys(found) if re.search(r"[^\W\d_]", label)]


@cache
def code_of(notebook: str) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell; none where it is not plain Python."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def calls(source: str) -> list[ast.Call]:
    """The calls ``explore(function, …)`` in a cell."""
    nodes = [node for statement in parsed(source) for node in ast.walk(statement)]
    return [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "explore" and node.args]


def drawn(call: ast.Call) -> str:
    """The name of the function that a call of ``explore`` draws with."""
    return ast.unparse(call.args[0])


def statements_before(notebook: str, source: str) -> list[ast.stmt]:
    """All statements of a notebook up to the end of the cell ``source``."""
    cells = code_of(notebook)
    require(source in cells, f"The cell is none of {notebook}.ipynb: {source[:60]!r}.")
    return [statement for cell in cells[: cells.index(source) + 1] for statement in parsed(cell)]


def controls(explorer: str, call: ast.Call, before: Sequence[ast.stmt]) -> list[dict[str, Any]]:
    """The controls of a call of ``explore``, in their order, as the page reads them."""
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:  # **sliders
            found |= evaluate(keyword.value, before)
        else:
            found[keyword.arg] = INSTEAD.get((explorer, keyword.arg)) or evaluate(keyword.value, before)
    return [described(name, widget) for name, widget in found.items()]


def described(name: str, widget: widgets.Widget) -> dict[str, Any]:
    """One control: name, kind, label, the value that it begins with, and what its kind needs. ``InputError`` for other kinds."""
    control = {"name": name, "label": widget.description or name, "value": widget.value}
    match widget:
        case widgets.FloatLogSlider() | widgets.FloatSlider() | widgets.IntSlider():
            decimals = re.findall(r"^(?:\.(\d)f|d)$", widget.readout_format)
            require(decimals, f"The slider {name} shows its value as {widget.readout_format!r}: give it a readout_format such as '.2f'.")
            base = {"base": widget.base} if isinstance(widget, widgets.FloatLogSlider) else {}  # then min, max and step are exponents
            numbers = {"min": widget.min, "max": widget.max, "step": widget.step, "decimals": int(decimals[0] or 0)}
            return control | {"kind": "slider", **numbers, **base}
        case widgets.Dropdown() | widgets.ToggleButtons():
            options = [option if isinstance(option, tuple) else (str(option), option) for option in widget.options]
            return control | {"kind": "list" if isinstance(widget, widgets.Dropdown) else "buttons", "options": options}
        case widgets.Checkbox():
            return control | {"kind": "checkbox"}
        case widgets.Text():
            return control | {"kind": "text"}
    raise InputError(f"The control {name} is a {type(widget).__name__}, which the book's explorers do not know: teach them in book/explorers.py.")


def evaluate(node: ast.expr, before: Sequence[ast.stmt]) -> Any:
    """The value of an expression, with the names that the statements before it assign or import."""
    return eval(compile(ast.Expression(node), "<notebook>", "eval"), names_in(node, before))


def names_in(node: ast.AST, before: Sequence[ast.stmt]) -> dict[str, Any]:
    """What the names that a piece of code reads stand for; those that it sets itself, as a comprehension does, are left out."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    own = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    return {name: value_of(name, before) for name in {name.id for name in names} - own if not hasattr(builtins, name)}


def value_of(name: str, before: Sequence[ast.stmt]) -> Any:
    """What a name stands for after these statements: the last one that binds it is run, which has to be an assignment or an import."""
    place = next((i for i in reversed(range(len(before))) if name in bound(before[i])), None)
    require(place is not None, f"The controls of an explorer need the name {name}, which the notebook does not set before.")
    statement = before[place or 0]
    simple = isinstance(statement, (ast.Assign, ast.Import, ast.ImportFrom))
    require(simple, f"The controls of an explorer need the name {name}, which {ast.unparse(statement).splitlines()[0]!r} sets: assign it plainly.")
    namespace = names_in(statement.value if isinstance(statement, ast.Assign) else statement, before[:place])
    exec(compile(ast.Module([statement], []), "<notebook>", "exec"), namespace)
    return namespace[name]


def bound(node: ast.AST) -> set[str]:
    """The names that a statement sets in the notebook; what happens inside of functions and comprehensions stays there."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return set()
    own = {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
    return own.union(*(bound(child) for child in ast.iter_child_nodes(node)))
