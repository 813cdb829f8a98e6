"""The project's own promises: what it declares in several places agrees, its size stays small, its wheel is complete."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import kdlib
from kdlib.plots import NAMES

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
ALL = DECLARED + [requirement for group in EXTRAS.values() for requirement in group]
PYTHONS = ("3.11", "3.12", "3.13")
CONDA_NAMES = {"torch": "pytorch", "prometheus-client": "prometheus_client"}
IMPORT_NAMES = {"IPython": "ipython", "sklearn": "scikit-learn", "charset_normalizer": "charset-normalizer", "yaml": "pyyaml"}
NOT_IMPORTED = {  # declared although no module of kdlib imports it
    "accelerate": "transformers.Trainer",
    "ipykernel": "the kernel of the notebooks",
    "jupyterlab": "make lab",
    "sympy": "the derivations of notebook 04",
    "sacremoses": "the tokenizer of XLM teachers",
}
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
MODULES = sorted((ROOT / "kdlib").rglob("*.py"))
needs_make = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no make: there the README's way is pip and kdlib")


def locked(python: str, system: str) -> dict[str, str]:
    """Name and version of everything that requirements.lock installs there."""
    environment = SYSTEMS[system] | {"python_version": python, "python_full_version": f"{python}.9"}
    versions: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pin, _, marker = line.partition(" ; ")
        name, version = pin.split("==")
        if not marker or Marker(marker).evaluate(environment):
            assert canonicalize_name(name) not in versions, f"{name} is pinned twice for Python {python} on {system}"
            versions[canonicalize_name(name)] = version
    return versions


def code_lines(path: Path) -> int:
    """Lines of code without blank lines, comments and docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    with tokenize.open(path) as file:
        tokens = [token for token in tokenize.generate_tokens(file.readline) if token.type not in layout]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - docstrings)


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make in ``folder``, quietly."""
    command = ["make", "--silent", "--no-print-directory", "-C", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


# dependencies


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_a_version_within_each_range(python: str, system: str) -> None:
    versions = locked(python, system)
    outside = [str(wanted) for wanted in ALL if not wanted.specifier.contains(versions.get(canonicalize_name(wanted.name), "0"))]
    assert outside == []


def test_the_lock_names_no_place_and_no_accelerator() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pin = re.compile(r"[\w.-]+==[\d.]+(rc\d+|\.post\d+)?( ; [^:/@]+)?")
    assert [line for line in lines if not line.startswith("#") and not pin.fullmatch(line)] == []
    assert [line for line in lines if line.startswith(("nvidia", "cuda", "triton"))] == []


@pytest.mark.parametrize(
    ("python", "system", "present", "absent"),
    [
        ("3.12", "linux", "aiohttp", "overrides"),
        ("3.11", "macos", "overrides", "aiohttp"),
        ("3.13", "windows", "pywinpty", "pexpect"),
    ],
)
def test_the_lock_knows_python_versions_and_systems(python: str, system: str, present: str, absent: str) -> None:
    versions = locked(python, system)
    assert present in versions
    assert absent not in versions


def test_conda_environment_agrees_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    *packages, from_pip = environment["dependencies"]
    assert from_pip["pip"].pop() == "-e ."
    python, pip, *packages = packages
    name, version = python.split("=")
    assert (name, pip) == ("python", "pip")
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    ours = {CONDA_NAMES.get(wanted.name, wanted.name): wanted.specifier for wanted in ALL}
    assert {wanted.name: wanted.specifier for wanted in map(Requirement, packages + from_pip["pip"])} == ours


def test_every_import_is_declared_and_every_dependency_is_used() -> None:
    imported = defaultdict(set)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for top in (name.split(".")[0] for name in names):
                if top not in sys.stdlib_module_names and top != "kdlib":
                    imported[IMPORT_NAMES.get(top, top)].add(path.name)
    optional = {wanted.name for wanted in EXTRAS["onnx"] + EXTRAS["ray"]}
    assert imported.keys() - optional == {wanted.name for wanted in DECLARED} - NOT_IMPORTED.keys()


# the same facts in several files


def test_python_versions_agree() -> None:
    requires = SpecifierSet(PROJECT["requires-python"])
    assert tuple(f"3.{minor}" for minor in range(20) if requires.contains(f"3.{minor}")) == PYTHONS
    assert [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if line.startswith("Programming Language")] == list(PYTHONS)
    first, last = (tuple(map(int, version.split("."))) for version in (PYTHONS[0], PYTHONS[-1]))
    condition = f"{first} <= sys.version_info[:2] <= {last}"
    for file in ("Makefile", "kdlib/doctor.py"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert condition in text, file
        assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in text, file


def test_version_agrees() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.findall(r"^## \[(.+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert kdlib.__version__ == PROJECT["version"] == citation["version"]
    assert (citation["version"], citation["date-released"]) in released


def test_files_named_for_contributors_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:kdlib|tests|data|benchmarks|\.ci)(?:/[\w.]+)+|[\w.]+\.(?:toml|yml|lock))`", text))
    assert {"kdlib/losses.py", "data/sources.toml", "tests/test_losses.py"} <= named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


# make


@needs_make
def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    assert {"report", "test", "test-browser", "lab", "bench", "lock", "clean"} <= targets
    listed = {line.split()[1]: line.split(maxsplit=2)[2] for line in make().stdout.splitlines()}
    assert listed.keys() == targets
    assert all(listed.values())


@needs_make
def test_every_notebook_is_compared_by_one_of_the_two_targets() -> None:
    compared = [re.findall(r"notebooks/\S+\.ipynb", make("-n", target).stdout) for target in ("test", "test-course")]
    there = {path.relative_to(ROOT).as_posix() for folder in ("notebooks", "notebooks/solutions") for path in (ROOT / folder).glob("[0-9]*.ipynb")}
    assert sorted(compared[0] + compared[1]) == sorted(there)


@needs_make
@pytest.mark.parametrize("python", ["false", "no-such-python"])
def test_make_stops_with_a_sentence_on_another_python(tmp_path: Path, python: str) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    run = make("report", f"PYTHON={python}", folder=tmp_path)
    assert run.returncode != 0
    assert "kdlib needs Python 3.11 to 3.13" in run.stdout
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_make_report_passes_profile_and_arguments_on(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    for name in ("requirements.lock", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "ready").touch()
    assert make("-n", "report", folder=tmp_path).stdout.split() == [".venv/bin/kdlib", "report", "--profile", "quick"]
    chosen = make("-n", "report", "PROFILE=full", "ARGS=--alpha 0.5", folder=tmp_path).stdout.split()
    assert chosen == [".venv/bin/kdlib", "report", "--profile", "full", "--alpha", "0.5"]


def test_without_a_browser_the_browser_checks_stop_with_a_sentence() -> None:
    environment = os.environ | {"KDLIB_BROWSER": "no-such-browser"}
    command = [sys.executable, "-m", "pytest", "tests/browser"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (sentence,) = (line for line in (run.stdout + run.stderr).splitlines() if "These tests need" in line)
    assert run.returncode == 1
    assert all(system in sentence for system in ("Debian", "Ubuntu", "macOS", "Windows", "KDLIB_BROWSER"))


# the figures of the README


def test_the_table_in_the_readme_is_the_measured_one() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "full.json").read_text(encoding="utf-8"))["languages"]
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = {name: dict(zip(measured, cells, strict=False)) for name, *cells in table}
    for language, models in measured.items():
        for model, name in NAMES.items():
            accuracy, low, high = (100 * share for share in (models[model]["accuracy"], *models[model]["accuracy_interval"]))
            cell = rows[name][language]
            assert cell.startswith(f"{accuracy:.1f}") and cell.endswith(f" ({low:.1f}–{high:.1f})"), (name, language)
        for rival, name in (("student_labels_only", "labels only"), ("tfidf_logistic", "TF-IDF")):
            gap, low, high = (100 * models["differences"][rival][end] for end in ("difference", "low", "high"))
            assert rows[f"distilled − {name}, points"][language] == f"{gap:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")
        assert rows["student's share of the teacher's accuracy"][language] == f"{100 * models['retention']:.1f} %"
        assert rows["times fewer parameters"][language] == f"{models['compression']:.1f}"


# size


def test_code_lines_are_counted_as_said(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    lines = ['"""Doc', "", 'string."""', "", "# comment", 'x = """two', 'lines"""', ""]
    lines += ["def f():", '    """Doc."""', "    return (", "        x", "    )  # comment"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert code_lines(path) == 6


def test_kdlib_stays_small() -> None:
    lines = {path.relative_to(ROOT).as_posix(): code_lines(path) for path in MODULES}
    assert sum(lines.values()) <= 3100, lines


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_file_fits_in_one_reading(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


# the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_package_data_licences_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        command = archive.read(f"kdlib-{kdlib.__version__}.dist-info/entry_points.txt").decode()
    assert {path.relative_to(ROOT).as_posix() for path in MODULES} <= names
    shipped = {"data/sources.toml", "data/teacher/adapter_model.safetensors", "data/diagnostics/reviews.jsonl"}
    shipped |= {f"book/quizzes/{name}" for name in ("1_foundations.yml", "quiz.css", "quiz.js")}
    shipped.add("notebooks/reports/distillation_report.ipynb")
    assert {f"kdlib/_shipped/{name}" for name in shipped} <= names
    assert {name.split("/licenses/")[1] for name in names if "/licenses/" in name} == {"LICENSE", "data/LICENSE"}
    assert "kdlib = kdlib.cli:main" in command
    assert {name.split("/")[0] for name in names} == {"kdlib", f"kdlib-{kdlib.__version__}.dist-info"}


def test_an_installed_wheel_finds_what_ships_with_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = "from kdlib.files import packaged; print(packaged('data', 'sources.toml')); print(packaged('notebooks', 'reports'))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # another copy of kdlib
    environment["PYTHONPATH"] = str(tmp_path)
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    shipped = tmp_path / "kdlib" / "_shipped"
    assert run.stdout.split("\n")[:2] == [str(shipped / "data" / "sources.toml"), str(shipped / "notebooks" / "reports")]
