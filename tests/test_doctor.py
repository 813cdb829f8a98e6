"""The doctor finds what is missing, names a remedy exactly there, and changes nothing."""

import importlib.util
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from kdlib import doctor
from kdlib.cli import main
from kdlib.doctor import Finding, diagnose
from kdlib.sources import load_sources, source_folder

GIB = 2**30
Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "free")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty KDLIB_HOME on a machine that has everything but the fetched sources."""
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(6 * GIB))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Disk(50 * GIB))
    monkeypatch.setattr(doctor.sys, "version_info", (3, 12, 1, "final", 0))
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    return tmp_path


def by_name() -> dict[str, Finding]:
    findings = diagnose()
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def test_every_finding_says_something_and_every_trouble_has_a_remedy(home: Path) -> None:
    found = by_name()
    assert {"python", "versions", "cores", "memory", "gpu", "fonts", "cache"} <= found.keys()
    assert all(finding.value for finding in found.values())
    assert all(finding.remedy for finding in found.values() if not finding.fine)


def test_a_machine_that_lacks_nothing_needs_no_remedy(home: Path) -> None:
    for source in load_sources().values():
        source_folder(source).mkdir(parents=True)
    assert [finding for finding in diagnose() if not finding.fine] == []


def test_sources_are_looked_for_where_they_are_kept(home: Path) -> None:
    sources = load_sources()
    source_folder(sources["zh"]).mkdir(parents=True)
    found = by_name()
    assert {name for name in sources if found[f"source {name}"].fine} == {"zh"}
    assert "kdlib fetch en" in found["source en"].remedy


def test_nothing_is_written_or_fetched(home: Path) -> None:
    diagnose()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "attribute", "value", "remedy"),
    [
        ("python", doctor.sys, "version_info", (3, 10, 2, "final", 0), "3.11"),
        ("python", doctor.sys, "version_info", (3, 14, 0, "final", 0), "3.13"),
        ("memory", psutil, "virtual_memory", lambda: Memory(3 * GIB), "4 GiB"),
        ("cache", doctor.shutil, "disk_usage", lambda path: Disk(1 * GIB), "KDLIB_HOME"),
        ("pip", importlib.util, "find_spec", lambda name: None, "ensurepip"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: object, attribute: str, value: object, remedy: str
) -> None:
    before = by_name()
    monkeypatch.setattr(module, attribute, value)
    after = by_name()
    assert before[name].fine and not after[name].fine
    assert remedy in after[name].remedy
    assert {other for other in after if after[other].fine != before[other].fine} == {name}


@pytest.mark.parametrize(("built", "remedy"), [(None, "built for the CPU"), ("13.0", "driver for CUDA 13.0")])
def test_a_gpu_that_pytorch_does_not_use_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, built: str | None, remedy: str) -> None:
    assert by_name()["gpu"].value.startswith("none")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "there" if name == "nvidia-smi" else None)
    monkeypatch.setattr(doctor.torch.version, "cuda", built)
    found = by_name()["gpu"]
    assert not found.fine and "not used" in found.value and remedy in found.remedy


@pytest.mark.parametrize("bf16", [True, False])
def test_a_gpu_in_use_says_whether_it_has_bfloat16(home: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    made_up = {"is_available": lambda: True, "device_count": lambda: 2, "get_device_name": lambda index: "NVIDIA Card"}
    made_up["is_bf16_supported"] = lambda including_emulation: bf16
    for name, function in made_up.items():
        monkeypatch.setattr(doctor.torch.cuda, name, function)
    found = by_name()["gpu"]
    assert found.fine and found.value.startswith("2 × NVIDIA Card, used")
    assert found.value.endswith("yes" if bf16 else "fp16")


def test_the_command_prints_one_line_a_finding_and_a_remedy_exactly_where_needed(home: Path) -> None:
    source_folder(load_sources()["fr"]).mkdir(parents=True)
    run = CliRunner().invoke(main, ["doctor"])
    assert (run.exit_code, run.stderr) == (0, "")
    lines, findings = run.stdout.splitlines(), diagnose()
    for line, finding in zip(lines, findings, strict=True):
        assert line.startswith("ok  " if finding.fine else "look")
        assert f"{finding.name}: " in line
        assert (" → " in line) is not finding.fine
        assert (bool(finding.remedy) and line.endswith(finding.remedy)) is not finding.fine
    assert sum(line.startswith("look") for line in lines) == len(load_sources()) - 1


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path / "file" / "home"))
    run = CliRunner().invoke(main, ["doctor"])
    assert run.exit_code == 2
    assert len(run.stderr.splitlines()) == 1 and "KDLIB_HOME" in run.stderr
