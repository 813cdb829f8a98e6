"""The explorers that compute in the page: their numbers against Python's, their controls by keyboard, their look on a small screen.

Run: pytest tests/book/test_explorers.py     (needs Chromium, and npm on the first run)
"""

import ast
import functools
import html
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import nbformat
import numpy as np
import pytest
import torch
from chromium import served
from tokenizers import Tokenizer

import kdlib
from kdlib import experiment, files, losses
from kdlib.errors import InputError
from kdlib.evaluate import expected_calibration_error, reliability

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
import explorers  # noqa: E402
import threshold  # noqa: E402
from vendor import vendor  # noqa: E402

REPORT = Path(os.environ.get("KDLIB_REPORT", ROOT / "reports" / "quick"))  # of make report, where it has run
SETTINGS = 60  # of each explorer
EXACT = 1e-9
SLOW = 60_000  # milliseconds that a page may take
TEXTS = ["Great value, très bon rapport qualité-prix, 性价比很高。", "房间很干净，服务也好。", "Ｆｕｌｌ　ｗｉｄｔｈ ① ﬁn", "two  spaces\tand\na line",
         " leading and trailing ", "déjà vu — naïve… « œuvre »", "🙂👍🏽 e\u0301 한국어 кириллица", "", "!!!???", "a", "\ufeffmark", "🫩 \u0897"]  # fmt: skip


# --- the notebooks' own code ------------------------------------------------------------------------------


@functools.cache
def statements(stem: str) -> list[ast.stmt]:
    cells = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4).cells
    return [statement for cell in cells if cell.cell_type == "code" for statement in ast.parse(cell.source).body]


def code(stem: str, *names: str, **given: Any) -> dict[str, Any]:
    """A namespace with a notebook's imports and, of its functions and plain assignments, those that are named, in its order."""
    found = dict(given)
    for statement in statements(stem):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        sets = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)} | {getattr(statement, "name", "")}
        if isinstance(statement, (ast.Import, ast.ImportFrom)) or sets & set(names):
            exec(compile(ast.Module([statement], []), stem, "exec"), found)
    return found


def widgets_of(stem: str, function: str, **given: Any) -> dict[str, widgets.Widget]:
    """The widgets of the notebook's cell itself, made by ipywidgets."""
    captured: dict[str, widgets.Widget] = {}
    call = next(node for statement in statements(stem) for node in ast.walk(statement)
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "explore" and ast.unparse(node.args[0]) == function)  # fmt: skip
    names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)} & {"topics", "sliders", "languages", "three_languages"}
    namespace = code(stem, *names, *(["topics", "z"] if "sliders" in names else []), **given)
    namespace |= {"explore": lambda _, **controls: captured.update(controls), function: None}
    eval(compile(ast.Expression(call), stem, "eval"), namespace)
    return captured


WIDGETS = {
    name: widgets_of(stem, function, CUTTERS=dict.fromkeys(["XLM-R"])) for (stem, function), name in explorers.EXPLORERS.items()
}


def places(widget: widgets.Widget) -> list[Any]:
    """What a control can say."""
    if hasattr(widget, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in widget.options]
    if isinstance(widget, widgets.Checkbox):
        return [False, True]
    steps = np.arange(round((widget.max - widget.min) / widget.step) + 1) * widget.step + widget.min
    return (widget.base**steps if isinstance(widget, widgets.FloatLogSlider) else steps.round(10)).tolist()


def settings(name: str, **extremes: Any) -> list[dict[str, Any]]:
    """The setting that the notebook begins with, both ends of all sliders, and others by chance."""
    generator, controls = np.random.default_rng(0), WIDGETS[name]
    ends = [{key: places(widget)[end] for key, widget in controls.items()} for end in (0, -1)]
    chance = [{key: places(widget)[generator.integers(len(places(widget)))] for key, widget in controls.items()} for _ in range(SETTINGS)]
    return [{key: widget.value for key, widget in controls.items()}, *ends, *chance]


# --- a small site of their own ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def outputs() -> dict[str, Any]:
    """Outputs as threshold.json has them, of models that are too sure, with some that are sure of everything."""
    generator, found = np.random.default_rng(1), dict[str, Any]()
    for code_, n in (("zh", 400), ("en", 300), ("fr", 150)):
        labels = generator.integers(2, size=n)
        noise = {model: (2 * labels - 1) * 1.2 + generator.normal(size=n) * 2 for model in ("student_distilled", "student_labels_only", "teacher")}
        noise["student_labels_only"] *= 6
        logits = {model: np.stack([-0.4 * odds, 0.6 * odds], -1) for model, odds in noise.items()}
        found[code_] = {"labels": labels.tolist()} | {model: threshold.log_odds(scores) for model, scores in logits.items()}
    return found


@pytest.fixture(scope="session")
def site(outputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Folder and address of a page with all explorers: our scripts, the vendored tokenizers, made-up outputs, the tokenizers
    of the report's students."""
    folder = tmp_path_factory.mktemp("site") / "site"
    shutil.copytree(ROOT / "book" / "_static", folder)
    shutil.copytree(vendor("@huggingface/tokenizers"), folder / "vendor")
    (folder / "axe.min.js").write_bytes((vendor("axe-core") / "axe.min.js").read_bytes())
    (folder / "data").mkdir()
    (folder / "data" / "threshold.json").write_text(json.dumps(outputs), encoding="utf-8")
    for language in ("zh", "en", "fr"):
        shutil.copytree(REPORT / "students" / language, folder / "students" / language, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "page.html").write_text(page_of(explorers.containers().values()), encoding="utf-8")
    with served(folder) as address:
        yield folder, address


def corpus(language: str) -> list[str]:
    rows = kdlib.load_diagnostics(language)
    assert rows is not None
    return list(rows["text"])


def page_of(containers: Any, words: dict[str, str] | None = None) -> str:
    """A page as Sphinx makes it, as far as the explorers care."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Explorers</title><link rel="icon" href="data:,">'
    head += '<link rel="stylesheet" href="explorers.css"><style>body { margin: 1rem; font-family: sans-serif }'
    head += 'html[data-theme="dark"] { --pst-color-text-base: #ced6dd; --pst-color-background: #14181e; --pst-color-surface: #222832;'
    head += " --pst-color-border: #48566b; --pst-color-text-muted: #9ca4af; --pst-color-primary: #3fb1c5; background: #14181e; }</style>"
    head += f"<script>globalThis.KD_TEXTS = {json.dumps(words or {})}</script>"
    return f'<!DOCTYPE html><html lang="en" data-theme="light"><head>{head}</head><body><main><h1>Explorers</h1>{"".join(containers)}</main>' \
           '<script type="module" src="explorers.js"></script></body></html>'  # fmt: skip


@pytest.fixture
def page(browser: Any, site: tuple[Path, str]) -> Iterator[Any]:
    """The page with all explorers drawn; what the console says as an error fails the test."""
    page, wrong = browser.new_page(viewport={"width": 1200, "height": 900}), []
    page.set_default_timeout(SLOW)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{site[1]}/page.html")
    drawn(page)
    yield page
    page.close()
    assert wrong == []


def drawn(page: Any) -> None:
    """Wait until each explorer has said its result."""
    page.wait_for_function("[...document.querySelectorAll('.kd-explorer:not([hidden])')].every(e => e.querySelector('output')?.textContent)")


def computed(page: Any, expression: str, argument: Any) -> Any:
    """What ``expression`` gives, with the functions of explorers_math.js in ``math`` and the argument in ``x``."""
    return page.evaluate(f"async x => {{ const math = await import('/explorers_math.js'); return {expression}; }}", argument)


def close(found: Any, right: Any) -> None:
    """Numbers equal to 1e-9, nan where nan is right (JSON brings it as null)."""
    found = np.array(found, float)
    np.testing.assert_allclose(found, torch.as_tensor(right, dtype=torch.float64).numpy(), rtol=0, atol=EXACT)
    assert found.size


# --- numbers ----------------------------------------------------------------------------------------------


def test_temperature(page: Any) -> None:
    notebook = code("02_softmax_and_temperature", "topics", "log_softmax", "entropy")
    cases = settings("temperature")
    found = computed(page, "x.map(([z, T, k]) => math.temperature(z, T, k))",
                     [[[case[topic] for topic in notebook["topics"]], case["temperature"], case["k"]] for case in cases])  # fmt: skip
    for case, one in zip(cases, found, strict=True):
        scores = torch.tensor([case[topic] for topic in notebook["topics"]], dtype=torch.float64)
        p = notebook["log_softmax"](scores, case["temperature"]).exp()
        close(one["p"], p)
        close(one["p"], torch.softmax(scores / case["temperature"], -1))
        close(one["held"], p.topk(case["k"]).values.sum())
        close([one["entropy"], one["classes"]], [notebook["entropy"](p), notebook["entropy"](p).exp()])
        assert len(set(one["top"])) == case["k"] and min(one["p"][i] for i in one["top"]) >= sorted(one["p"])[-case["k"]]
        grid = torch.from_numpy(np.geomspace(0.1, 20, 80))
        close(one["curve"], notebook["entropy"](notebook["log_softmax"](scores, grid[:, None]).exp()))


def test_loss_mix(page: Any) -> None:
    notebook = code("03_distillation_loss", "topics", "v", "z", "softmax", "spread", "optimum", "mix")
    cases = settings("loss-mix")
    given = {"teacher": notebook["v"].tolist(), "student": notebook["z"].tolist()}
    found = computed(page, "x.cases.map(one => math.lossMix(one, x.given))",
                     {"given": given, "cases": [case | {"label": notebook["topics"].index(case["label"])} for case in cases]})  # fmt: skip
    for case, one in zip(cases, found, strict=True):
        label = notebook["topics"].index(case["label"])
        target, best, pulls = notebook["mix"](**case | {"label": label})
        close(one["target"], target)
        close(one["best"], best)
        close(one["teacher"], torch.softmax(notebook["v"], -1))
        student = notebook["z"].clone().requires_grad_()  # the pulls are gradients of kdlib's losses
        weight = case["alpha"] if case["keep_t2"] else case["alpha"] / case["temperature"] ** 2
        terms = ((1 - case["alpha"]) * losses.hard_target_loss(student[None], torch.tensor([label])),
                 weight * losses.soft_target_loss(student[None], notebook["v"][None], case["temperature"]))  # fmt: skip
        close(one["pulls"], [torch.autograd.grad(term, student)[0].norm() for term in terms])
        close(one["pulls"], pulls)


def test_the_best_student_is_a_minimum_of_kdlibs_loss(page: Any) -> None:
    notebook = code("03_distillation_loss", "v")
    cases = [(alpha, T, label) for alpha in (0.1, 0.5, 0.9) for T in (0.5, 2.0, 10.0) for label in range(5)]
    found = computed(page, "x.cases.map(([a, T, y]) => math.lossMix({ alpha: a, temperature: T, label: y, keep_t2: true }, x.given).best)",
                     {"cases": cases, "given": {"teacher": notebook["v"].tolist(), "student": notebook["v"].tolist()}})  # fmt: skip
    for (alpha, T, label), best in zip(cases, found, strict=True):
        student = torch.tensor(best, dtype=torch.float64).log().requires_grad_()
        loss = losses.distillation_loss(student[None], notebook["v"][None], torch.tensor([label]), T, alpha)
        assert torch.autograd.grad(loss, student)[0].norm() < 1e-7


def test_kl_directions(page: Any) -> None:
    names = ("line", "bell", "kl", "jensen_shannon", "two_peaks", "means", "widths", "candidates", "best_bells")
    notebook = code("03_distillation_loss", *names)
    cases = settings("kl-directions")
    given = json.loads(html.unescape(re.findall(r'data-given="([^"]*)"', explorers.containers()["kl-directions"])[0]))
    found = computed(page, "(() => { const bells = math.candidates(x.given); return x.cases.map(one => math.directions(one, x.given.line, bells)); })()",
                     {"given": given, "cases": cases})  # fmt: skip
    for case, one in zip(cases, found, strict=True):
        teacher = notebook["two_peaks"](*case.values())
        close(one["teacher"], teacher)
        kl, others = notebook["kl"], notebook["candidates"]
        values = {"forward": kl(teacher, others), "jensen_shannon": notebook["jensen_shannon"](teacher, others), "reverse": kl(others, teacher)}
        for name, (_, (best, value)) in zip(values, notebook["best_bells"](teacher).items(), strict=True):
            close(one[name]["value"], value)
            equals = others[values[name] <= value + EXACT]  # two peaks of one size: two bells are equally good
            assert any(torch.allclose(torch.tensor(one[name]["q"], dtype=torch.float64), equal, rtol=0, atol=EXACT) for equal in equals)
            assert len(equals) > 1 or torch.allclose(best, equals[0])


def test_bce_gradient(page: Any) -> None:
    cases = settings("bce-gradient")
    found = computed(page, "x.map(math.bceGradient)", cases)
    for case, one in zip(cases, found, strict=True):
        student = torch.tensor(case["z"], dtype=torch.float64, requires_grad=True)
        m = (1 - case["alpha"]) * case["y"] + case["alpha"] * case["q"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(student, torch.tensor(m, dtype=torch.float64))
        close([one["loss"], one["slope"]], [loss.item(), torch.autograd.grad(loss, student)[0]])
        close([one["says"], one["m"]], [torch.sigmoid(student.detach()), m])
        by_notebook = code("04_binary_cross_entropy", "bce")["bce"](student.detach(), m)
        close(one["loss"], by_notebook)


def test_the_cross_entropy_neither_overflows_nor_vanishes(page: Any) -> None:
    close(computed(page, "x.map(z => math.bce(z, 0))", [-1000, -40, 40, 1000]), [0, np.exp(-40), 40, 1000])


def test_threshold(page: Any, outputs: dict[str, Any]) -> None:
    notebook = code("07_case_study_zh_en_fr", "at_threshold", "ece")
    cases = settings("threshold")
    given = [[outputs[c["language"]][c["model"]], outputs[c["language"]]["labels"], c["temperature"], c["threshold"]] for c in cases]
    found = computed(page, "x.map(one => math.threshold(...one))", given)
    assert len({json.dumps(one["now"]) for one in found}) > 20
    for (odds, labels, temperature, t), one in zip(given, found, strict=True):
        y = np.array(labels)
        z = np.stack([np.zeros(len(y)), odds], -1) / temperature
        shares = torch.softmax(torch.from_numpy(z), -1).numpy()
        close(one["ece"], notebook["ece"](z, y))
        close(one["ece"], expected_calibration_error(shares, y))
        points = reliability(shares, y)
        close([[b["n"], b["confidence"], b["accuracy"]] for b in one["reliability"]], [[b["n"], b["confidence"], b["accuracy"]] for b in points])
        names = ("coverage", "precision", "recall", "accuracy")
        close([one["now"][name] for name in names], notebook["at_threshold"](shares[:, 1], y, t))
        curves = [notebook["at_threshold"](shares[:, 1], y, step) for step in np.linspace(0.5, 0.99, 50)]
        close([[step[name] for name in names] for step in one["curves"]], curves)


def test_a_text_is_cut_as_the_students_tokenizers_cut_it(page: Any, site: tuple[Path, str]) -> None:
    some = [text for language in ("zh", "en", "fr") for text in corpus(language)][::9]
    texts = [WIDGETS["tokens"]["text"].value, *TEXTS, *some]
    explorer = page.locator("[data-explorer=tokens]")
    wrong: list[Any] = []
    for language in ("zh", "en", "fr"):
        tokenizer = Tokenizer.from_file(str(site[0] / "students" / language / "tokenizer.json"))
        tokenizer.no_truncation()  # of the page's text all is counted
        unknown = tokenizer.token_to_id("<unk>")
        explorer.locator("select").select_option(label=f"{name_of(language)} student")
        for text in (text[:300].replace("\n", " ") for text in texts):  # a line of a page holds no line break
            explorer.locator("input").fill(text)
            right = tokenizer.encode(text, add_special_tokens=False).ids
            shown = [f"<unk> {i}" if i == unknown else str(i) for i in right]
            numbers = [str(len(right)), str(len(text)), str(len(text.encode()))]
            said = f"{name_of(language)} student: {numbers[0]} pieces for {numbers[1]} characters, which are {numbers[2]} bytes in UTF-8."
            said += f" Unknown: {right.count(unknown)}." if unknown in right else ""
            try:
                page.wait_for_function("said => document.querySelector('[data-explorer=tokens] output').textContent === said", arg=said, timeout=10_000)
            except Exception:
                wrong.append((language, text, said, explorer.locator("output").text_content()))
            if explorer.locator(".kd-id").all_text_contents() != shown:
                wrong.append((language, text, shown, explorer.locator(".kd-id").all_text_contents()))
    assert wrong == []


def name_of(language: str) -> str:
    return {"zh": "Chinese", "en": "English", "fr": "French"}[language]


def test_characters_and_bytes(page: Any) -> None:
    explorer = page.locator("[data-explorer=tokens]")
    explorer.locator("input").fill("é的🙂")
    explorer.locator("select").select_option(label="characters")
    page.wait_for_function("document.querySelector('[data-explorer=tokens] output').textContent.startsWith('characters: 3 pieces for 3 characters, which are 9')")
    assert explorer.locator(".kd-id").all_text_contents() == ["U+00E9", "U+7684", "U+1F642"]
    explorer.locator("select").select_option(label="UTF-8 bytes")
    page.wait_for_function("document.querySelector('[data-explorer=tokens] output').textContent.startsWith('UTF-8 bytes: 9 pieces')")
    assert [int(number) for number in explorer.locator(".kd-id").all_text_contents()] == list("é的🙂".encode())


# --- the same numbers as the notebook's figure shows --------------------------------------------------------


def figures(name: str, outputs: dict[str, Any]) -> Any:
    """The notebook's own draw function."""
    if name == "temperature":
        return code("02_softmax_and_temperature", "COLOURS", "topics", "log_softmax", "entropy", "draw_temperature")["draw_temperature"]
    if name == "bce-gradient":
        return code("04_binary_cross_entropy", "BLUE", "bce", "draw")["draw"]
    if name == "threshold":
        logits = {code_: {model: np.stack([np.zeros(len(odds)), odds], -1) for model, odds in models.items()} for code_, models in outputs.items()}
        labels = {code_: np.array(models["labels"]) for code_, models in outputs.items()}
        return code("07_case_study_zh_en_fr", "BLUE", "at_threshold", "ece", "threshold_figure", logits=logits, labels=labels)["threshold_figure"]
    names = ("BLUE", "topics", "v", "z", "softmax", "spread", "optimum", "mix", "draw_mix", "line", "bell", "kl", "jensen_shannon", "two_peaks",
             "means", "candidates", "best_bells", "draw_directions")  # fmt: skip
    return code("03_distillation_loss", *names)["draw_mix" if name == "loss-mix" else "draw_directions"]


@pytest.mark.parametrize("name", ["temperature", "loss-mix", "kl-directions", "bce-gradient", "threshold"])
def test_the_page_says_what_the_notebooks_figure_says(name: str, page: Any, outputs: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float64 if name == "bce-gradient" else torch.float32)  # as notebook 04 has it
    try:
        draw, controls = figures(name, outputs), WIDGETS[name]
        explorer = page.locator(f"[data-explorer={name}]")
        values = {key: widget.value for key, widget in controls.items()}
        for moved in (None, "slider", "slider again"):
            if moved:  # each slider three steps to the right
                for slider, key in zip(explorer.locator("[type=range]").all(), [k for k, w in controls.items() if hasattr(w, "step")], strict=True):
                    place = min(int(slider.input_value()) + 3, len(places(controls[key])) - 1)
                    slider.fill(str(place))
                    values[key] = places(controls[key])[place]
            figure = draw(**values)
            texts = [text.get_text() for axis in figure.axes for text in (axis.title, *axis.texts, *(axis.get_legend().get_texts() if axis.get_legend() else []))]
            numbers = {number for text in texts for number in re.findall(r"[−+]?\d+\.\d+|\d+ %", text)}
            seen = explorer.inner_text().replace("\u00a0", " ")
            assert len(numbers) > 1
            assert [number for number in sorted(numbers) if number not in seen] == [], (values, texts, seen)
    finally:
        torch.set_default_dtype(torch.float32)


# --- controls ---------------------------------------------------------------------------------------------


def test_every_default_is_the_notebooks_own(page: Any) -> None:
    for name, controls in WIDGETS.items():
        found = json.loads(page.locator(f"[data-explorer={name}]").get_attribute("data-controls"))
        assert [one["name"] for one in found] == list(controls)
        for one, (key, widget) in zip(found, controls.items(), strict=True):
            if (name, key) == ("tokens", "cut"):
                continue  # the notebook's tokenizers are not in the page
            assert one["value"] == widget.value and one["label"] == (widget.description or key)
            if one["kind"] == "slider":
                steps = page.evaluate("async x => (await import('/explorers_controls.js')).steps(x)", one)
                assert steps["values"][steps["start"]] == widget.value
                wanted = np.array(places(widget))
                others = np.arange(len(wanted)) != steps["start"]
                np.testing.assert_allclose(np.array(steps["values"])[others], wanted[others], rtol=1e-12, atol=1e-12)
                control = page.locator(f"[data-explorer={name}]").get_by_role("slider", name=one["label"], exact=True)
                assert control.get_attribute("aria-valuetext") == format(widget.value, widget.readout_format).replace("-", "−")
            elif one["kind"] in ("list", "buttons"):
                assert [value for _, value in one["options"]] == places(widget)


KEYS = {"range": "ArrowRight", "select-one": "ArrowDown", "radio": "ArrowLeft", "checkbox": "Space", "text": "!"}
SIGHT = "e => [e.querySelector('.kd-picture').innerHTML.replaceAll(/kd-clip-\\d+/g, ''), e.querySelector('output').textContent]"


@pytest.mark.parametrize("name", list(WIDGETS))
def test_every_control_is_reached_and_moved_by_keyboard(name: str, page: Any) -> None:
    explorer = page.locator(f"[data-explorer={name}]")
    reached: list[str] = []
    start = explorer.locator("output").text_content()
    for _ in range(80):
        page.keyboard.press("Tab")
        inside = explorer.evaluate("e => e.contains(document.activeElement) && document.activeElement.matches('input, select') && document.activeElement.type")
        if not inside:
            if reached:
                break
            continue
        before = explorer.evaluate(SIGHT)
        reached.append(inside)
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring not in ("none", "auto"), "the control that has the focus shows it"
        page.keyboard.press(KEYS[inside])
        change = f"before => {{ const [a, b] = ({SIGHT})(document.querySelector('[data-explorer={name}]')); return a !== before[0] && b !== before[1]; }}"
        page.wait_for_function(change, arg=before, timeout=5000)
    assert len(reached) == len(WIDGETS[name])
    explorer.locator(".kd-reset").press("Enter")
    page.wait_for_function("([name, start]) => document.querySelector(`[data-explorer=${name}] output`).textContent === start", arg=[name, start])


def test_each_control_has_a_label_and_each_picture_says_its_number(page: Any) -> None:
    for field in page.locator(".kd-explorer :is(input, select)").all():
        assert field.evaluate("e => [...e.labels].map(label => label.textContent).join('').trim()")
    for picture in page.locator(".kd-panel > svg").all():
        assert picture.get_attribute("role") == "img" and re.search(r"\d", picture.get_attribute("aria-label"))
    assert page.locator("output[aria-live=polite]").count() == len(WIDGETS)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme: str, page: Any, site: tuple[Path, str]) -> None:
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    page.add_script_tag(url=f"{site[1]}/axe.min.js")
    found = page.evaluate("axe.run('.kd-explorer', { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })")
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]] == []


@pytest.mark.parametrize("width", [320, 380, 768, 1440])
def test_nothing_leaves_the_screen_or_its_picture(width: int, page: Any) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate("""() => [...document.querySelectorAll('.kd-panel > svg')].flatMap(svg => {
        const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter(text => {
            const own = text.getBoundingClientRect();
            return own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1 || own.top < box.top - 1;
        }).map(text => [svg.getAttribute('aria-label').slice(0, 40), text.textContent]);
    })""")
    assert outside == []
    overlapping = page.evaluate("""() => [...document.querySelectorAll('.kd-panel > svg')].flatMap(svg => {
        const texts = [...svg.querySelectorAll('text')].filter(text => !text.hasAttribute('transform') && text.textContent);
        const boxes = texts.map(text => text.getBoundingClientRect());
        return texts.flatMap((text, i) => texts.slice(i + 1).filter((_, k) => {
            const [a, b] = [boxes[i], boxes[i + 1 + k]];
            return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
        }).map(other => [text.textContent, other.textContent]));
    })""")
    assert overlapping == []


# --- without parts of the site ------------------------------------------------------------------------------


def test_without_students_and_outputs_the_page_says_so(browser: Any, site: tuple[Path, str]) -> None:
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.route("**/students/**", lambda route: route.fulfill(status=404))
    page.route("**/data/**", lambda route: route.fulfill(status=404))
    page.goto(f"{site[1]}/page.html")
    page.wait_for_function("document.querySelector('[data-explorer=threshold]').hidden")
    drawn(page)
    assert not page.locator("[data-explorer=threshold]").is_visible()
    explorer = page.locator("[data-explorer=tokens]")
    assert "not part of this copy" in explorer.locator("output").text_content()
    explorer.locator("select").select_option(label="characters")
    page.wait_for_function("document.querySelector('[data-explorer=tokens] output').textContent.startsWith('characters: 38 pieces')")
    page.close()
    assert wrong == []


def test_all_words_can_be_translated(browser: Any, site: tuple[Path, str]) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book" / "_static").glob("explorers*.js"))
    words = [*re.findall(r'\bt\("((?:[^"\\]|\\.)*)"\)', sources), *explorers.labels()]
    translations = {word: "".join(f"«{part}»" if i % 2 == 0 and part.strip() else part for i, part in enumerate(re.split(r"(\{\w+\})", word))) for word in words}
    (site[0] / "translated.html").write_text(page_of(explorers.containers().values(), translations), encoding="utf-8")
    page = browser.new_page()
    page.goto(f"{site[1]}/translated.html")
    drawn(page)
    left = page.evaluate("""() => {
        const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), found = [];
        while (walker.nextNode()) {
            const parent = walker.currentNode.parentElement;
            if (parent.closest('.kd-explorer') && !parent.closest('.kd-pieces')) found.push(walker.currentNode.textContent);
        }
        for (const e of document.querySelectorAll('.kd-explorer [aria-label]')) found.push(e.getAttribute('aria-label'));
        return found.filter(text => /[a-z]{2}/i.test(text.replaceAll(/«[^»]*»/g, '')));
    }""")
    page.close()
    assert left == []


# --- containers ---------------------------------------------------------------------------------------------


def test_a_cell_without_an_explorer_has_no_container() -> None:
    stem = "03_distillation_loss"
    found = [explorers.container(stem, cell) for cell in explorers.code_of(stem)]
    assert sum(text is not None for text in found) == 2
    assert explorers.container(stem, "explore(draw_landscape)") is None


def test_a_notebook_that_lost_its_cell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(explorers.EXPLORERS, ("03_distillation_loss", "draw_nothing"), "nothing")
    explorers.containers.cache_clear()
    with pytest.raises(InputError, match=r"03_distillation_loss.ipynb has 0 cells with explore\(draw_nothing"):
        explorers.containers()
    monkeypatch.undo()
    explorers.containers.cache_clear()


def test_only_assignments_and_imports_of_the_notebook_run() -> None:
    before = ast.parse("a = 2\nfor a in [3]:\n    pass\nb = [c for c in (1, 2)]\nb = [*b, 3]\nd = missing(1)").body
    assert explorers.evaluate(ast.parse("b", mode="eval").body, before) == [1, 2, 3]
    with pytest.raises(InputError, match="assign it plainly"):
        explorers.evaluate(ast.parse("a", mode="eval").body, before)
    with pytest.raises(InputError, match="need the name missing"):
        explorers.evaluate(ast.parse("d", mode="eval").body, before)


def test_a_control_that_no_page_can_show_is_named() -> None:
    with pytest.raises(InputError, match="The control when is a DatePicker"):
        explorers.described("when", widgets.DatePicker())
    with pytest.raises(InputError, match=r"readout_format such as '\.2f'"):
        explorers.described("much", widgets.FloatSlider(readout_format=".3g"))


# --- the recorded outputs -----------------------------------------------------------------------------------


def test_outputs_are_read_and_never_made(tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: Any, isolated_home: Path, tmp_path: Path) -> None:
    files.save(tmp_path / "teacher", tiny_teacher, tiny_tokenizer)
    rows = [row for name in ("train", "validation", "test") for row in tiny_reviews[name].select_columns(["text", "label"])]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row | {"label": ["negative", "positive"][row["label"]]}) for row in rows), encoding="utf-8")
    chosen = experiment.Settings(data=str(tmp_path / "data.jsonl"), language="en", teacher=str(tmp_path / "teacher"), teacher_training="none",
                                 layers=1, epochs=1.0, labels_only_epochs=1.0, seeds=[3], bf16=False, rows=24, transfer_size=16)  # fmt: skip
    metrics: dict[str, Any] = {"settings": dict(vars(chosen)), "languages": {}}
    report, target = tmp_path / "report", tmp_path / "site" / "data" / "threshold.json"
    report.mkdir()
    files.write_json(report / "metrics.json", metrics)
    assert threshold.write(report, target) is False and not target.exists()
    assert not (isolated_home / "students").exists()

    everything = experiment.load_datasets(chosen)
    teacher = experiment.prepare_teacher(chosen, everything)
    data = experiment.label_with_teacher(everything["en"], teacher, chosen)
    runs = {f"student_{kind}": runs[0].logits["test"] for kind, runs in experiment.train_students(data, teacher, chosen).items()}
    logits, labels = runs | {"teacher": np.array(data["test"]["teacher_logits"])}, np.array(data["test"]["label"])
    metrics["languages"]["en"] = {name: {"seeds": {"accuracy": [float((z.argmax(-1) == labels).mean())]}} for name, z in logits.items()}
    files.write_json(report / "metrics.json", metrics)
    assert threshold.write(report, target) is True
    found = files.read_json(target)["en"]
    assert found.keys() == {"labels", "teacher", "student_distilled", "student_labels_only"} and found.pop("labels") == labels.tolist()
    for name, odds in found.items():
        np.testing.assert_allclose(odds, logits[name][:, 1].astype(float) - logits[name][:, 0], rtol=0, atol=5.1e-10)

    metrics["languages"]["en"]["teacher"]["seeds"]["accuracy"] = [0.123]
    files.write_json(report / "metrics.json", metrics)
    with pytest.raises(InputError, match=r"en, teacher: the recorded outputs are right on .* and the report says 0\.1230"):
        threshold.recorded(report)


def test_three_classes_have_no_single_threshold() -> None:
    with pytest.raises(InputError, match="needs two classes"):
        threshold.log_odds(np.zeros((4, 3)))


def test_the_outputs_of_the_quick_report() -> None:
    """They are small enough, and accuracy and calibration that follow from them are those that the report says."""
    outputs, figures = threshold.recorded(REPORT), files.read_json(REPORT / "metrics.json")["languages"]
    assert len(json.dumps(outputs, separators=(",", ":"))) < 200_000
    for language, models in outputs.items():
        labels = np.array(models.pop("labels"))
        for model, odds in models.items():
            shares = torch.sigmoid(torch.tensor(odds, dtype=torch.float64)).numpy()
            error = expected_calibration_error(np.stack([1 - shares, shares], -1), labels)
            assert error == pytest.approx(figures[language][model]["expected_calibration_error"], abs=1e-9)
            assert ((shares > 0.5) == labels).mean() == pytest.approx(figures[language][model]["accuracy"], abs=1e-12)
