"""The interactive figures in a real browser: Tab reaches each control, keys move it, and what stands below it changes.

Run: make test-browser (`make test` leaves this folder out)
"""

import re
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))
WIDGET = re.compile(r"\bexplore\(|\b(ipy)?widgets\b")
WITH_WIDGETS = [path.name for path in NOTEBOOKS if re.search(r"\bexplore\(|\bipywidgets\b", path.read_text(encoding="utf-8"))]
LIMIT, PATIENCE = 1200, 10  # seconds: for one notebook, four times what the longest takes alone; for a picture to change after a key
TEXT = "Une attente interminable, 再也不来了。"
CONTROL = "input, select, textarea, button, [tabindex='0']"
KEYS = {  # how each kind of control moves on, and how it moves back from its end; after a comma: the next try
    ".widget-toggle-buttons .mod-active, [type=radio]:checked": ("", ""),  # is chosen: the others of its group move
    "[role=slider]": ("ArrowRight, PageUp", "ArrowLeft, PageDown"),
    "select": ("Space ArrowDown Enter", "Space ArrowUp Enter"),  # on a closed list JupyterLab takes the arrows for itself
    "[type=number]": ("ArrowUp Enter", "ArrowDown Enter"),
    "[type=checkbox], [type=radio]": ("Space", "Space"),
    "button": ("Enter", "Enter"),
    "[type=text], textarea": ("ControlOrMeta+A TEXT Enter", "ControlOrMeta+A TEXT Enter"),
}
# what is asked of the page: of a control whether it is at its end and how it is called; of a cell what stands below its controls
AT_END = """e => e.role === 'slider' ? e.ariaValueNow === e.ariaValueMax
    : e.max ? +e.value >= +e.max : e.selectedIndex === e.length - 1"""
NAME = """e => [...(e.closest('.widget-inline-hbox, .widget-toggle-buttons, .widget-radio') ?? e).querySelectorAll('label')]
    .map(label => label.textContent.replace('\\u200b', '')).concat(e.matches('button') ? e.textContent : []).join(' ').trim()"""
SIGHT = """cell => [...cell.querySelectorAll('.widget-output, .widget-html, .widget-htmlmath, div.widget-label, img')]
    .map(e => e.src ?? e.textContent).join()"""
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
RUN_TO = """async (last) => {
    const {content, sessionContext} = jupyterapp.shell.currentWidget;
    await sessionContext.ready;
    content.activeCellIndex = last;
    const run = (name) => jupyterapp.commands.execute(`notebook:${name}`);
    run('run-all-above').then(() => run('run-cell')).then(() => { window.ran = true; });
}"""


def settled(page: Any, cell: Any, end: float) -> str:
    """What stands below the controls of ``cell``, once the kernel rests and nothing changes any more."""
    last = None
    while time.monotonic() < end:
        now = (cell.evaluate(SIGHT), page.evaluate(f"{KERNEL}.status"))
        if now == last and now[1] == "idle":
            return now[0]
        last = now
        page.wait_for_timeout(200)
    pytest.fail(f"after {LIMIT} seconds not all controls have been moved")


def errors(cell: Any) -> list[str]:
    """The last lines of the tracebacks in ``cell``."""
    shown = cell.locator("[data-mime-type='application/vnd.jupyter.stderr']")
    texts = shown.filter(has_text=re.compile("Error|Exception|Traceback")).all_text_contents()
    return [text.strip().splitlines()[-1] for text in texts]


def move(page: Any, cell: Any, control: Any, end: float) -> list[str]:
    """Move ``control`` by keyboard alone and say what is wrong, if anything is."""
    kind = next((kind for kind in KEYS if control.evaluate("(e, kind) => e.matches(kind)", kind)), None)
    if kind is None:
        return ["no keys known for this kind of control"]
    before = settled(page, cell, end)
    for keys in filter(None, KEYS[kind][control.evaluate(AT_END)].split(", ")):
        cell.focus()
        for _ in range(100):
            page.keyboard.press("Tab")
            if control.evaluate("e => e === document.activeElement"):
                break
        else:
            return ["Tab does not reach it"]
        for key in keys.split():
            page.keyboard.type(TEXT) if key == "TEXT" else page.keyboard.press(key)
        patience = time.monotonic() + PATIENCE
        while time.monotonic() < patience:
            if settled(page, cell, end) not in ("", before):
                return errors(cell)
    return ["nothing changes below it"] if any(KEYS[kind]) else []


def failures(page: Any, lab: tuple[Path, str], name: str) -> list[str]:
    """Run the cells of a notebook to the last with a widget (nbval runs those below too), move all its controls, and list what went wrong."""
    end, found, moved = time.monotonic() + LIMIT, [], 0
    cells = nbformat.read(lab[0] / name, as_version=4).cells
    last = max(i for i, cell in enumerate(cells) if cell.cell_type == "code" and WIDGET.search(cell.source))
    page.on("pageerror", lambda error: found.append(f"error of the page: {error}"))
    page.goto(lab[1].format(name))
    page.wait_for_function(KERNEL)
    page.evaluate(RUN_TO, last)
    while not page.evaluate("window.ran ?? false"):
        if time.monotonic() > end:
            waiting = page.locator(".jp-InputPrompt").filter(has_text="*").count()
            pytest.fail(f"after {LIMIT} seconds {waiting} cells have not run")
        page.wait_for_timeout(500)
    for i, source in enumerate(cells[: last + 1]):
        if source.cell_type != "code" or "raises-exception" in source.metadata.get("tags", []):
            continue
        cell = page.locator(".jp-Notebook .jp-Cell").nth(i)
        found += [f"cell {i}: {error}" for error in errors(cell)]
        controls = cell.locator(".jp-Cell-outputArea").locator(CONTROL).filter(visible=True).all()
        if "explore(" in source.source and not controls:
            found.append(f"cell {i}: no controls")
        for control in controls:
            label, moved = control.evaluate(NAME), moved + 1
            found += [f"cell {i}, {label}: {wrong}" for wrong in move(page, cell, control, end)]
    return found if moved else [*found, "no controls at all"]


@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_every_control_changes_what_stands_below_it(page: Any, lab: tuple[Path, str], name: str) -> None:
    assert failures(page, lab, name) == []


MADE = f"""
import ipywidgets as widgets
import matplotlib.pyplot as plt
from kdlib.widgets import explore

def draw(ignored, text, **values):
    assert text != "{TEXT}", "meant to fail"
    figure, axis = plt.subplots(figsize=(9, 1))
    axis.set_title(str(values), fontsize=6)
    return figure

explore(draw, full=widgets.FloatSlider(9, max=9), span=widgets.IntRangeSlider(value=(2, 5)),
    last=widgets.Dropdown(options="ab", value="b"), one=widgets.ToggleButtons(options="abc"), on=widgets.Checkbox(True),
    pressed=widgets.ToggleButton(True), way=widgets.RadioButtons(options="ab"), number=widgets.BoundedIntText(9, max=9),
    ignored=widgets.Checkbox(), text=widgets.Text("1", continuous_update=False))
"""


def test_a_control_without_effect_and_an_error_are_found(page: Any, lab: tuple[Path, str]) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MADE)], metadata=kernel)
    nbformat.write(made, lab[0] / "made.ipynb")
    without_effect, error = failures(page, lab, "made.ipynb")
    assert without_effect == "cell 0, ignored: nothing changes below it"
    assert error == "cell 0, text: AssertionError: meant to fail"
