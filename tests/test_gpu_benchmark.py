"""The benchmark that a reader runs on a GPU runs on a processor too, in a small form, and writes what notebook 08 reads."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
RECORDED = SCRIPT.parent / "results" / "gpu.json"


def test_the_small_form_measures_every_task_and_names_the_device(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--small", "--no-compile", "--output", str(output)]
    command += ["--batch-sizes", "2", "4", "--tokens", "8", "--repeats", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["small"] and result["device"] and result["peak_tflops"].keys() == {"fp32", "bf16", "fp16"}
    rows = {(row["task"], row["precision"], row["batch"]): row for row in result["rows"]}
    assert len(rows) == len(result["rows"]) == 3 * 3 * 2
    for row in rows.values():
        assert row["seconds"] > 0
        assert abs(row["texts_per_second"] * row["seconds"] / row["batch"] - 1) < 1e-9
    labelled, learnt = (rows[task, "fp32", 4] for task in ("teacher labelling", "teacher fine-tuning"))
    per_step = [row["tflops"] * row["seconds"] for row in (labelled, learnt)]
    assert abs(per_step[1] / per_step[0] - 3) < 1e-9  # 6 N against 2 N


def test_recorded_figures_name_a_device_and_are_no_trial() -> None:
    if RECORDED.exists():  # nobody has to have a GPU
        result = json.loads(RECORDED.read_text(encoding="utf-8"))
        assert result["device"] and result["command"].startswith("python benchmarks/gpu.py") and not result["small"]
