"""The report: its parameters are the settings, its files are whole, and it really runs (last test, on a small slice)."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import numpy as np
import papermill
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from made_up import language_figures
from papermill.exceptions import PapermillExecutionError
from scipy.special import softmax

from kdlib import report
from kdlib.errors import InputError
from kdlib.experiment import Outcome, Settings
from kdlib.files import home, packaged
from kdlib.plots import NAMES
from kdlib.report import chosen_settings, model_card, run_report, save_student, write_html, write_metrics
from kdlib.sources import fetch, load_sources

NOTEBOOK = packaged(*report.NOTEBOOK)
CELLS = nbformat.read(NOTEBOOK, as_version=4).cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]
DEFAULTS = {parameter.name: parameter.default for parameter in fields(Settings)}
CLASSES = ["negative", "positive"]

# --- parameters -------------------------------------------------------------------------------------------


def test_one_cell_is_tagged_parameters() -> None:
    tagged = [cell for cell in CELLS if "parameters" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in tagged] == CODE[:1]


def test_the_parameters_are_the_settings_and_the_output() -> None:
    (assignments, output) = (ast.parse(CODE[0]).body[:-1], ast.parse(CODE[0]).body[-1])
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}  # type: ignore[attr-defined]
    assert values == DEFAULTS
    assert list(values) == list(DEFAULTS)
    assert ast.unparse(output).startswith("output = ")
    assert all(type(value) is type(DEFAULTS[name]) for name, value in values.items())


def test_every_parameter_has_its_help_as_papermill_sees_it() -> None:
    found = papermill.inspect_notebook(str(NOTEBOOK))
    for parameter in fields(Settings):
        assert found.pop(parameter.name)["help"] == parameter.metadata["help"], parameter.name
    assert list(found) == ["output"] and found["output"]["help"]


# What a fresh kernel has before the first cell.
JUPYTER: dict[str, Any] = {"__name__": "__main__", "__builtins__": {}, "_": "", "_ih": [""], "_i1": "", "In": [""], "Out": {}}
JUPYTER |= {"get_ipython": len, "exit": len, "quit": len, "open": open}


def test_settings_come_from_a_notebook_s_globals() -> None:
    given = {"profile": "slice", "languages": ["fr"], "layers": [0, 11], "output": "somewhere"}
    assert chosen_settings(JUPYTER | DEFAULTS | given) == Settings(profile="slice", languages=["fr"], layers=[0, 11])
    assert chosen_settings({}) == Settings()


def test_an_unknown_parameter_is_named_beside_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no parameter temprature: it knows .*temperature"):
        chosen_settings(JUPYTER | DEFAULTS | {"temprature": 3.0})
    with pytest.raises(InputError, match=r"alhpa, rwos"):
        chosen_settings({"rwos": 5, "alhpa": 0.1})
    with pytest.raises(InputError, match="profile"):
        chosen_settings({"profile": "huge"})


@pytest.fixture
def namespace() -> Iterator[dict[str, Any]]:
    """A kernel's names after the parameters and the imports of the notebook."""
    names = dict(JUPYTER, __builtins__=__builtins__)
    with matplotlib.rc_context():
        exec(CODE[0], names)
        exec(CODE[1], names)
        yield names


def test_the_notebook_s_imports_are_not_taken_for_parameters(namespace: dict[str, Any]) -> None:
    assert namespace["settings"] == Settings()
    assert namespace["folder"] == Path(namespace["output"])


# --- what the notebook defines for itself -----------------------------------------------------------------


@pytest.fixture
def define(namespace: dict[str, Any]) -> Callable[[str], Any]:
    """A function that a cell of the notebook defines, without running the rest of the cell."""

    def one(name: str) -> Any:
        nodes = [node for source in CODE for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        (found,) = [node for node in nodes if node.name == name]
        exec(compile(ast.Module([found], []), "notebook", "exec"), namespace)
        return namespace[name]

    return one


def split(texts: list[str], labels: list[int], logits: np.ndarray | None = None) -> Dataset:
    columns: dict[str, Any] = {"text": texts, "label": labels, "language": ["fr"] * len(texts)}
    if logits is not None:
        columns["teacher_logits"] = logits.tolist()
    return Dataset.from_dict(columns).cast_column("label", ClassLabel(names=CLASSES))


def test_the_audit_counts_duplicates_and_leaks(define: Callable[[str], Any]) -> None:
    data = DatasetDict({
        "train": split(["Très bon !", "très bon", "TRES BON", "mauvais film", "不好，很差", "x"], [1, 1, 1, 0, 0, -1]),
        "validation": split(["un", "deux"], [0, 1]),
        "test": split(["Mauvais film.", "trois", "un"], [0, 0, 1]),
        "transfer": split(["trois!", "quatre", "Quatre"], [-1, -1, -1]),
    })  # fmt: skip
    found = {name: define("audit")(data, name) for name in data}
    assert [row["texts"] for row in found.values()] == [6, 2, 3, 3]
    assert [row["near-duplicates"] for row in found.values()] == [1, 0, 0, 1]
    assert [row["also held out"] for row in found.values()] == [1, 1, 1, 1]  # mauvais film; un; un; trois
    shares = [row["share of each class"] for row in found.values()]
    assert shares == ["0.40 / 0.60", "0.50 / 0.50", "0.67 / 0.33", "unlabelled"]
    assert [row["median characters"] for row in found.values()] == [8, 3, 5, 6]
    assert [float(row["in Chinese script"]) for row in found.values()] == pytest.approx([1 / 6, 0, 0, 0], abs=6e-3)


def test_the_audit_passes_over_a_split_without_texts(define: Callable[[str], Any]) -> None:
    """A table with a teacher's probabilities and no --transfer has an empty transfer set."""
    data = DatasetDict({"train": split(["un", "deux"], [0, 1]), "validation": split(["trois"], [0]), "test": split(["quatre"], [1]), "transfer": split([], [])})
    assert define("audit")(data, "transfer") == {"texts": 0}


def test_instructive_errors_are_wrong_and_in_order_of_confidence(define: Callable[[str], Any], namespace: dict[str, Any]) -> None:
    generator = np.random.default_rng(0)
    labels, said, teacher_said = generator.integers(2, size=60), generator.normal(size=(60, 2)), generator.normal(size=(60, 2))
    texts = [f"{i:02d} " + "long " * 100 for i in range(60)]
    data = DatasetDict({"test": split(texts, labels.tolist(), teacher_said)})
    namespace["names"] = CLASSES
    table = define("errors")(data, Outcome({"test": said}, [], Path()), 10)
    wrong = [i for i in range(60) if said[i].argmax() != labels[i]]
    assert len(wrong) > 10
    expected = sorted(wrong, key=lambda i: -max(softmax(said[i])))[:10]
    rows = [int(text[:2]) for text in table["text"]]
    assert rows == expected
    assert table["text"].str.len().max() <= 200
    for i, (_, row) in zip(rows, table.iterrows(), strict=True):
        assert row["label"] == CLASSES[labels[i]]
        for column, logits in (("student", said), ("teacher", teacher_said)):
            name, probability = row[column].split()
            assert name == CLASSES[logits[i].argmax()] and float(probability) == pytest.approx(softmax(logits[i]).max(), abs=6e-3)


def test_a_student_without_errors_leaves_an_empty_table(define: Callable[[str], Any], namespace: dict[str, Any]) -> None:
    namespace["names"] = CLASSES
    data = DatasetDict({"test": split(["a", "b"], [0, 1], np.eye(2))})
    assert len(define("errors")(data, Outcome({"test": np.eye(2)}, [], Path()))) == 0


# --- metrics, model card, student -------------------------------------------------------------------------


def check_schema(metrics: dict[str, Any], languages: list[str], seeds: list[int]) -> None:
    """What readers of ``metrics.json`` may rely on."""
    assert metrics["seeds"] == seeds and metrics["profile"] in ("slice", "quick", "full")
    assert {"kdlib", "torch", "transformers", "python"} <= metrics["versions"].keys()
    assert metrics["settings"].keys() == DEFAULTS.keys()
    assert list(metrics["languages"]) == languages
    for models in metrics["languages"].values():
        for model in ("teacher", "student_labels_only", "student_distilled"):
            figures = models[model]
            assert 0 <= figures["accuracy"] <= 1 and 0 <= figures["macro_f1"] <= 1
            assert isinstance(figures["parameters"], int) and isinstance(figures["bytes"], int)
            assert figures["bytes"] > 0 and figures["latency_ms"] > 0
            assert len(figures["seeds"]["accuracy"]) == (1 if model == "teacher" else len(seeds))
        assert models["differences"]["student_labels_only"].keys() >= {"difference", "low", "high"}


def test_metrics_are_written_as_they_are_returned(tmp_path: Path) -> None:
    settings = Settings(profile="full", layers={"zh": [0, 11], "fr": 2})
    languages = {"zh": language_figures(seeds=3), "fr": language_figures(seeds=3, seed=1)}
    environment = {"versions": dict.fromkeys(("kdlib", "torch", "transformers", "python"), "1"), "machine": {"device": "m"}}
    metrics = write_metrics(settings, languages, environment, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == metrics
    check_schema(metrics, ["zh", "fr"], [0, 1, 2])
    assert metrics["settings"]["layers"] == {"zh": [0, 11], "fr": 2} and metrics["settings"]["teacher_training"] == "full"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_the_model_card_has_the_figures() -> None:
    figures = language_figures()
    card, student = model_card("en", figures), figures["student_distilled"]
    header, body = card.split("---\n")[1:]
    assert {"language: en", "pipeline_tag: text-classification", "library_name: transformers"} <= set(header.splitlines())
    low, high = student["accuracy_interval"]
    for part in (
        "9.4 M parameters", "12 times fewer", f"Test accuracy {100 * student['accuracy']:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f}", "n = 200", f"teacher {100 * figures['teacher']['accuracy']:.1f} %",
        f"error {student['expected_calibration_error']:.3f}",
        "500 labelled and 3000 unlabelled", 'pipeline("text-classification"',
    ):  # fmt: skip
        assert part in body, part
    assert "personal use" not in body and "personal use" in model_card("fr", figures)


def test_a_saved_student_is_the_kept_one_with_its_card(tmp_path: Path) -> None:
    from test_measure import make_model, make_tokenizer

    make_model(1).save_pretrained(tmp_path / "kept")
    make_tokenizer().save_pretrained(tmp_path / "kept")
    data = DatasetDict({"test": split(["bon"], [1])})
    save_student(Outcome({}, [], tmp_path / "kept"), data, language_figures(), tmp_path / "students" / "fr")
    assert (tmp_path / "students" / "fr" / "README.md").read_text(encoding="utf-8") == model_card("fr", language_figures())
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("kept", "students/fr")]
    assert weights[0] == weights[1]
    classify = pipeline_of(tmp_path / "students" / "fr")
    assert classify["label"] in ("LABEL_0", "LABEL_1") and 0.5 <= classify["score"] <= 1


WITHOUT_KDLIB = """
import json, sys
sys.modules["kdlib"] = None  # import kdlib: ModuleNotFoundError, wherever it may be installed
try:
    import kdlib
except ImportError:
    pass
else:
    sys.exit("kdlib was imported")
from transformers import pipeline
print(json.dumps([pipeline("text-classification", model=folder)(sys.argv[1])[0] for folder in sys.argv[2:]]))
"""


def classified_elsewhere(text: str, *folders: Path) -> list[dict[str, Any]]:
    """What plain transformers says of a text, in a process that cannot import kdlib, for each checkpoint."""
    command = [sys.executable, "-I", "-c", WITHOUT_KDLIB, text, *map(str, folders)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folders[0].anchor, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pipeline_of(folder: Path) -> dict[str, Any]:
    from transformers import pipeline

    return pipeline("text-classification", model=str(folder))("good film")[0]


# --- HTML -------------------------------------------------------------------------------------------------


class Loads(HTMLParser):
    """What a browser would fetch for a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        for name, value in attributes:
            if value and (name in ("src", "srcset", "data", "poster") or (tag == "link" and name == "href")):
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.addresses += re.findall(r"""(?:url\(\s*["']?|@import\s*["'])([^"')\s]+)""", data)
        elif "script" in self.open:
            found = re.findall(r"""["'`]((?:https?:)?//[^"'`\s]+)["'`]""", data)
            self.addresses += [address for address in found if not address.startswith("http://www.w3.org/")]  # names of formats
        else:
            self.words.append(data)


def from_elsewhere(page: str) -> list[str]:
    return [address for address in Loads(page).addresses if not address.startswith(("data:", "#"))]


def executed_notebook() -> Any:
    """Outputs of every kind that a report has."""
    new = nbformat.v4
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    outputs = [
        new.new_output("display_data", {"text/html": "<table><tr><td>0.93</td></tr></table>"}),
        new.new_output("display_data", {"image/png": png}),
        new.new_output("display_data", {"text/markdown": "- zh: **twelve** times"}),
        new.new_output("stream", text="a line\n"),
    ]
    cells = [new.new_markdown_cell("# Title with $T^2$"), new.new_code_cell("secret = 1", outputs=outputs)]
    return new.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def test_the_html_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    nbformat.write(executed_notebook(), tmp_path / "report.ipynb")
    write_html(tmp_path / "report.ipynb")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert from_elsewhere(page) == []
    text = " ".join(Loads(page).words)
    assert all(part in text for part in ("Title with", "0.93", "twelve", "a line")) and "data:image/png;base64," in page
    assert "secret" not in text  # no code


def test_the_check_of_the_html_finds_what_loads() -> None:
    page = """<link href="https://a.org/x.css"><script src="//b.org/y.js"></script><img src="figures/z.png"><img src="data:AA">
    <style>@import "https://c.org/s.css"; p {background: url(https://d.org/i.png)}</style><script>import("https://e.org/m.mjs")</script>
    <a href="https://f.org">a link loads nothing</a>"""
    expected = ["https://a.org/x.css", "//b.org/y.js", "figures/z.png", "https://c.org/s.css", "https://d.org/i.png", "https://e.org/m.mjs"]
    assert from_elsewhere(page) == expected


# --- run_report with a stand-in for the notebook ----------------------------------------------------------

STAND_IN = """
import json, os, pathlib
folder = pathlib.Path(output)
assert os.environ["KDLIB_QUIET"] == "1"
languages = json.loads(pathlib.Path(figures).read_text())
(folder / "metrics.json").write_text(json.dumps({"languages": languages, "rows": rows, "cwd": os.getcwd()}))
(folder / "half.txt").write_text("half done")
class InputError(ValueError):
    pass
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a small notebook, which ends with the given line, in the place of the report's."""
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"en": language_figures()}))

    def install(last_line: str) -> None:
        cells = [nbformat.v4.new_code_cell("rows = None\noutput = ''", metadata={"tags": ["parameters"]})]
        cells += [nbformat.v4.new_code_cell(f"figures = {str(figures)!r}{STAND_IN}"), nbformat.v4.new_code_cell(last_line)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
        nbformat.write(notebook, tmp_path / "stand_in.ipynb")
        monkeypatch.setattr(report, "packaged", lambda *parts: tmp_path / "stand_in.ipynb")

    return install


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_takes_its_place_only_when_it_is_whole(
    tmp_path: Path, stand_in: Callable[[str], None], capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = tmp_path / "reports"
    monkeypatch.chdir(tmp_path)
    stand_in("print('done')")
    target = run_report("reports", profile="slice", rows=7)
    assert target == reports / "slice" and [path.name for path in reports.iterdir()] == ["slice"]
    assert {"report.html", "report.ipynb", "metrics.json"} <= content(target).keys()
    metrics = json.loads((target / "metrics.json").read_text())
    assert (metrics["rows"], metrics["cwd"]) == (7, str(tmp_path))  # the parameter arrived; "my.csv" is meant from here
    assert "done" in (target / "report.html").read_text(encoding="utf-8")
    said, noise = capfd.readouterr()
    assert "WARNING" not in noise  # nor does the kernel chat
    for part in (NAMES["teacher"], "times smaller than the teacher", str(target / "report.html"), str(target / "students")):
        assert part in said, part
    older = content(target)

    stand_in("raise InputError('The table is empty: give one with rows.')")
    with pytest.raises(InputError, match=r"^The table is empty: give one with rows\.$"):
        run_report(reports, profile="slice")
    stand_in("1 / 0")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        run_report(reports, profile="slice")
    stand_in("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        run_report(reports, profile="slice")
    assert content(target) == older
    assert [path.name for path in reports.iterdir()] == ["slice"]  # and nothing half done beside it


def test_bad_settings_stop_a_report_before_anything_is_written(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("1 / 0")
    for wrong in ({"temprature": 3}, {"profile": "huge"}, {"temperature": 0}):
        with pytest.raises(InputError):
            run_report(tmp_path / "reports", **wrong)
    assert not (tmp_path / "reports").exists()


# --- the report itself ------------------------------------------------------------------------------------


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A KDLIB_HOME with the fetched sources and the teacher of the usual one, but without students and teacher outputs."""
    usual, own = home(), tmp_path / "home"
    own.mkdir()
    for name in load_sources():  # before the report, which would say whose terms hold
        fetch(name)
    for name in ("sources", "teachers"):
        (usual / name).mkdir(exist_ok=True)
        (own / name).symlink_to(usual / name, target_is_directory=True)
    monkeypatch.setenv("KDLIB_HOME", str(own))
    return own


TIMED = {"latency_ms", "latency", "throughput", "peak_memory_mb"}


def untimed(figures: Any) -> Any:
    """Figures without what differs from run to run on one machine."""
    if isinstance(figures, dict):
        return {name: untimed(value) for name, value in figures.items() if name not in TIMED}
    return figures


def test_report_on_a_small_slice(tmp_path: Path, own_home: Path) -> None:
    """Everything is real but small: teacher, reviews, three students of each language, one epoch."""
    target = run_report(tmp_path / "reports", profile="slice")
    files = content(target)
    assert {"report.html", "report.ipynb", "metrics.json"} <= files.keys()
    figures = {"accuracy", "confusion", "phenomena", "calibration", "size", "learning"}
    assert {Path(name).stem for name in files if re.match(r"figures.\w+\.png$", name)} == figures
    assert all(files[name].startswith(b"\x89PNG") for name in files if name.endswith(".png"))
    assert {path.name for path in (target / "students").iterdir()} == {"zh", "en", "fr"}

    metrics = json.loads(files["metrics.json"])
    check_schema(metrics, ["zh", "en", "fr"], [0])
    for models in metrics["languages"].values():
        assert models["data"] == {"train": 96, "validation": 96, "test": 96, "transfer": 160}
        assert models["teacher"]["accuracy"] > 0.75  # the teacher is the trained one
        assert models["teacher"]["parameters"] > 8 * models["student_distilled"]["parameters"]
        assert models["student_distilled"]["bytes"] < 60e6
        assert models["unknown_rate"] < 0.08  # of so few texts not every Chinese character is known
        assert models["phenomena"]["all"]["n"] > 100

    page = files["report.html"].decode()
    assert from_elsewhere(page) == []
    text = " ".join(Loads(page).words)
    for part in ("times smaller than the teacher", "accuracy, %", "smallest detectable", "near-duplicates", "GFLOP a text", *CLASSES):
        assert part in text, part
    executed = nbformat.reads(files["report.ipynb"].decode(), as_version=4)
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]

    folders = [target / "students" / code for code in ("zh", "en", "fr")]
    for answer in classified_elsewhere("Not bad at all, I would buy it again.", *folders):
        assert answer["label"] in CLASSES and 0.5 <= answer["score"] <= 1

    def times() -> dict[Path, int]:
        areas = (own_home / "students", own_home / "teacher_outputs")
        return {path: path.stat().st_mtime_ns for area in areas for path in [area, *area.rglob("*")]}

    before = times()
    assert len(list((own_home / "students").iterdir())) == 9
    again = run_report(tmp_path / "again", profile="slice", languages=["en"])
    assert times() == before  # nothing was trained and nothing labelled again
    repeated = json.loads((again / "metrics.json").read_text(encoding="utf-8"))["languages"]
    assert untimed(repeated) == {"en": untimed(metrics["languages"]["en"])}
