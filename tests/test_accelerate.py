"""One process and two, on the same global batch, give the same losses and the same student; the files for larger machines can be read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from datasets import concatenate_datasets
from safetensors.torch import load_file

import kdlib

EXAMPLE = Path(__file__).parent.parent / "examples" / "accelerate"
TOLERANCE = 1e-4  # of losses between 0.2 and 10: two processes pad and add up in another order; seen on two cores: 2e-6


def launch(processes: int, way: str, folder: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and trained weights of a run with this number of processes, which talk through the loopback device (gloo)."""
    output = folder / f"{way}{processes}"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", str(EXAMPLE / "train.py")]  # 0: any free one
    command += [str(folder / "student"), str(folder / "rows"), "--output", str(output), "--way", way]
    command += ["--global-batch", "8", "--epochs", "2", "--learning-rate", "1e-2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads((output / "losses.json").read_text(encoding="utf-8")), load_file(output / "model.safetensors")


@pytest.fixture
def folder(tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: Any, isolated_home: Path, tmp_path: Path) -> Path:
    """A folder with a student of one layer and the rows that it learns from: 64, half of them without label."""
    rows = concatenate_datasets([tiny_reviews["train"], tiny_reviews["transfer"]])
    rows = kdlib.add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer)
    rows.save_to_disk(str(tmp_path / "rows"))
    student, tokenizer = kdlib.make_student(tiny_teacher, tiny_tokenizer, [0], texts=list(rows["text"]))
    student.save_pretrained(tmp_path / "student")
    tokenizer.save_pretrained(tmp_path / "student")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("way", ["loop", "trainer"])
def test_two_processes_give_the_losses_and_the_student_of_one(way: str, folder: Path) -> None:
    (one, alone), (two, together) = (launch(processes, way, folder) for processes in (1, 2))
    assert len(one) == len(two) == 16  # 64 rows in global batches of 8, twice
    assert one == pytest.approx(two, abs=TOLERANCE)
    assert max(one) - min(one) > 0.5  # the losses move: a comparison that could fail
    before = load_file(folder / "student" / "model.safetensors")
    moved = max(float((alone[name] - before[name]).abs().max()) for name in before)
    apart = max(float((alone[name] - together[name]).abs().max()) for name in alone)
    assert moved > 0.05 and apart < 0.05 * moved
    assert alone.keys() == together.keys() == before.keys()


def test_a_batch_that_the_processes_cannot_share_is_refused_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE / "train.py"), "student", "rows", "--output", str(tmp_path / "out"), "--global-batch", "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and run.stderr.splitlines()[-1].startswith("--global-batch is 0: give a multiple of the 1 processes")


@pytest.mark.parametrize("name", ["one_gpu", "eight_gpus", "fsdp"])
def test_accelerate_reads_the_configuration(name: str) -> None:
    path = EXAMPLE / f"{name}.yaml"
    config = load_config_from_file(str(path))  # raises for a key that it does not know
    assert config.mixed_precision == "bf16" and not config.use_cpu
    assert (str(config.distributed_type.value), config.num_processes) == {
        "one_gpu": ("NO", 1),
        "eight_gpus": ("MULTI_GPU", 8),
        "fsdp": ("FSDP", 8),
    }[name]


def test_from_one_gpu_to_eight_two_lines_change() -> None:
    one, eight, fsdp = (
        yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("one_gpu", "eight_gpus", "fsdp")
    )
    assert {key for key in one if one[key] != eight[key]} == {"distributed_type", "num_processes"} and one.keys() == eight.keys()
    assert {key for key in fsdp if fsdp[key] != eight.get(key)} == {"distributed_type", "fsdp_config"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash reads the job, and there is none here")
def test_the_job_is_a_script() -> None:
    subprocess.run(["bash", "-n", str(EXAMPLE / "job.slurm")], check=True)


def test_the_job_names_what_is_there() -> None:
    words = (EXAMPLE / "job.slurm").read_text(encoding="utf-8").split()
    named = [word for word in words if word.startswith("examples/")]
    assert len(named) == 2 and all((EXAMPLE.parent.parent / name).is_file() for name in named)
