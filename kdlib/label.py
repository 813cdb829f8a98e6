"""Labelling at scale: files of any size in, Parquet shards with the teacher's outputs out, in constant memory.

A shard holds ``shard_size`` consecutive rows of one input file, so which row stands where depends on the input alone. A
shard is written aside and moved into place, then a record of it (checksum, rows set aside); only what has both is done.
However a run ends, the same command goes on with what is missing, and no row is lost or doubled. Several workers share the
shards of a run: each claims one, labels it, and goes on to the next that nobody has.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from filelock import FileLock, Timeout

from .distill import fingerprint
from .errors import explained, require
from .evaluate import predict_logits
from .files import locked, progress, read_json, write_json, written_aside
from .tables import COLUMN_NAMES, SUFFIXES, fold, read_records
from .teachers import load_classifier

TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())


class Shard(NamedTuple):
    """Consecutive rows of one input file: those with a text to label, their texts, and what was set aside."""

    table: pa.Table
    texts: list[str]
    rejects: list[dict[str, Any]]  # file, row (from 1, neither header nor blank lines counted), reason


def label_files(source: str | Path, output: str | Path, teacher: str = "packaged", text_column: str | None = None, max_length: int = 128,
                batch_size: int = 64, shard_size: int = 4096, workers: int = 1, engine: str = "local") -> dict[str, Any]:  # fmt: skip
    """Label the texts of ``source`` into the folder ``output`` and return the manifest; shards of an earlier run are kept.

    ``source``: a .csv, .tsv, .jsonl, .json (an object a line) or .parquet file in UTF-8, or a folder of them. ``output``
    gets part-00000.parquet, …: all columns, in the input's order, and ``teacher_logits`` (K numbers a row, float32);
    rejects.jsonl: file, row and reason of each row without a text to label; at last manifest.json: checksums, settings,
    counts. Columns of Parquet keep their types; those of CSV and JSON lines become text (other JSON values as JSON).
    A run that goes on may change ``batch_size``, ``workers`` and ``engine``, which change no more than the rounding.

    Args:
        teacher: A local checkpoint of a classifier, or a hub id.
        text_column: Where it is not given: text, review, texte, 评论 and other usual names.
        max_length: Tokens after which a text is cut.
        batch_size: Texts that the teacher reads at once.
        shard_size: Rows in a shard: what an interruption can cost at most.
        workers: Processes that share the shards, each with its own copy of the teacher.
        engine: local or ray: whether they run here, or on a Ray cluster.

    Local workers share the processor's threads (and need ``if __name__ == "__main__":`` in a script). On Ray they are tasks of a
    cluster, that of RAY_ADDRESS, else this machine, each with a GPU where it has any; its nodes see input, output and teacher
    under the same names.

    Raises ``InputError`` where the input is missing, empty, of unknown format or without such a column; where input, teacher
    or settings are not those that the folder was begun with; where it cannot be written or another run is at work in it;
    where Ray is asked for and not installed.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    require(source.exists(), f"{source}: there is no such file under {Path.cwd()}; check the path.")
    files = [file for file in (sorted(source.glob("[!.]*")) if source.is_dir() else [source]) if file.suffix.lower() in SUFFIXES]
    require(files, f"{source} is or holds none of {', '.join(SUFFIXES)}: save it as one.")
    require(source.resolve() != output.resolve(), f"{output} is the folder of the input: choose another one.")
    require(min(max_length, batch_size, shard_size, workers) > 0, "max_length, batch_size, shard_size and workers must be 1 or more.")
    require(engine == "local" or (engine == "ray" and find_spec("ray")), f"There is no engine {engine} here: give local, or pip install kdlib[ray].")
    with locked(output, "kdlib label"):
        schema, inputs = survey(files)
        column = find_text_column(source, schema, text_column)
        model, tokenizer = load_labeller(teacher, max_length)
        begun = {"input": inputs, "text_column": column, "max_length": max_length, "shard_size": shard_size}
        begun |= {"teacher": fingerprint(model, tokenizer), "labels": [str(name) for name in (model.config.id2label or {}).values()]}
        begin(output, begun)
        shards = sum(-(-entry["rows"] // shard_size) for entry in inputs)
        job = (teacher, batch_size, output.absolute(), [file.absolute() for file in files], schema, begun, shards)
        if engine == "ray":
            import ray

            # Not Ray Data: its batches do not end where shards and files do, and what it writes has no records to go on from.
            ray.init(ignore_reinit_error=True)
            task = ray.remote(num_gpus=int("GPU" in ray.cluster_resources()), max_retries=100)(label_missing)
            ray.get([task.remote(rank, 1, None, *job) for rank in range(workers)])
        elif workers > 1:
            crew = torch.multiprocessing.spawn(spawned, (workers, None, *job), workers, join=False, daemon=True).processes
            for process in crew:
                process.join()
            if died := sum(process.exitcode != 0 for process in crew):
                print(f"{died} of {workers} workers ended early: what they left is labelled now.")
        label_missing(0, 1, (model, tokenizer), *job)  # all shards where there was nobody else, or else those that are not as recorded
        return finish(output, shards, begun | {"teacher_name": teacher, "batch_size": batch_size})


def spawned(rank: int, *job: Any) -> None:
    """A worker in a process of its own, which ends when the process that began the run has died, however early that was."""
    threading.Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()  # type: ignore[union-attr]
    label_missing(rank, *job)


def label_missing(rank: int, workers: int, loaded: Any, teacher: str, batch_size: int, output: Path, files: list[Path], schema: pa.Schema,
                  begun: dict[str, Any], shards: int) -> None:  # fmt: skip
    """One worker: pass over the input and label each shard that is not finished and that no other worker is labelling.

    A worker claims a shard by a lock, which the system drops when the worker dies, however it dies. Workers load the teacher
    by its name, which must bring the one that the run began with, and leave claimed shards alone. The process that began the
    run has it ``loaded`` (model, tokenizer), passes when they have ended, and waits for claims that are left.
    """
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    model, tokenizer = loaded or load_labeller(teacher, begun["max_length"])
    require(loaded or fingerprint(model, tokenizer) == begun["teacher"], f"{teacher} is another teacher for worker {rank}: give all the same.")
    numbers = range(shards) if rank else progress(range(shards), "teacher labels shards")
    for number, shard in zip(numbers, read_shards(files, schema, begun["text_column"], begun["shard_size"]), strict=True):
        with suppress(Timeout), FileLock(output / ".progress" / "claims" / str(number), timeout=-1 if loaded else 0):
            if not finished(output, number, shard):
                logits = predict_logits(model, tokenizer, shard.texts, batch_size=batch_size, max_length=begun["max_length"])
                write(output, number, shard, logits)


def load_labeller(teacher: str, max_length: int) -> Any:
    """A trained classifier of any number of classes, on the accelerator where there is one, and its tokenizer."""
    model, tokenizer = load_classifier(teacher)
    require(0 < max_length <= tokenizer.model_max_length, f"max_length is {max_length}: {teacher} reads {tokenizer.model_max_length} tokens at most.")
    return model.to(torch.accelerator.current_accelerator() or "cpu"), tokenizer  # type: ignore[arg-type]


def survey(files: list[Path]) -> tuple[pa.Schema, list[dict[str, Any]]]:
    """One pass over the input: the columns that all files have, and of each file its size, SHA-256 and number of rows."""
    names, inputs, schemas = {}, [], []  # names: the columns of the CSV and JSON lines files
    for file in files:
        rows = 0
        if file.suffix.lower() == ".parquet":
            with explained(f"{file} is no Parquet file", "write it again", pa.ArrowInvalid, OSError):
                schemas.append(pq.read_schema(file))
                rows = pq.read_metadata(file).num_rows
        else:
            for rows, (record, _) in enumerate(read_records(file), 1):  # noqa: B007
                names.update(dict.fromkeys(record, pa.string()))
        inputs.append({"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file), "rows": rows})
    schemas += [pa.schema(names)] if names or not schemas else []
    require(any(entry["rows"] for entry in inputs), f"{files[0]} is empty: give rows.")
    require(all(schema.equals(schemas[0]) for schema in schemas), f"The files in {files[0].parent} differ in their columns: label each by itself.")
    return schemas[0], inputs


def find_text_column(source: Path, schema: pa.Schema, chosen: str | None) -> str:
    """The column that holds the texts: the one chosen, else the one with a usual name."""
    found = [name for name in schema.names if name == chosen or (not chosen and fold(name) in COLUMN_NAMES["text"].split())]
    remedy = f"set text_column (--text-column) or rename one, the columns are {', '.join(schema.names) or 'unreadable':.300}"
    require(len(found) == 1, f"{source}: {len(found) or 'no'} columns are named {chosen or 'text, review or the like'}; {remedy}.")
    require(len({*schema.names, "teacher_logits"}) > len(schema), f"{source}: two columns of one name, or one named teacher_logits; {remedy}.")
    kind = getattr(schema.field(found[0]).type, "value_type", schema.field(found[0]).type)  # of a dictionary, what it holds
    require(kind in TEXT_TYPES, f"{source}: the column {found[0]} holds {kind}, not text; {remedy}.")
    return found[0]


def read_tables(file: Path, schema: pa.Schema, column: str, size: int) -> Iterator[tuple[pa.Table, list[Any], list[str]]]:
    """``size`` rows of a file at a time: all columns, the values of the text column, and why a row could not be read."""
    if file.suffix.lower() == ".parquet":
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as parquet:  # streams a row group of any size
            for batch in parquet.iter_batches(size):
                yield pa.Table.from_batches([batch]), batch[column].cast(pa.large_binary()).to_pylist(), [""] * len(batch)
        return
    records = read_records(file)
    while block := list(islice(records, size)):
        cells = {name: [cell if isinstance(cell := row.get(name), str | None) else json.dumps(cell) for row, _ in block] for name in schema.names}
        yield pa.table(cells, schema), [row.get(column) for row, _ in block], [reason for _, reason in block]


def read_shards(files: list[Path], schema: pa.Schema, column: str, size: int) -> Iterator[Shard]:
    """The input in order, ``size`` rows of a file at a time; rows without a text to label are set aside."""
    for file in files:
        row = 0
        for table, values, reasons in read_tables(file, schema, column, size):
            start, texts, rejects = row + 1, [], {}
            for row, (value, reason) in enumerate(zip(values, reasons, strict=True), start):
                try:
                    texts.append(text_of(value, reason))
                except ValueError as error:
                    rejects[row] = str(error)
            good = pa.array([i not in rejects for i in range(start, row + 1)])
            yield Shard(table.filter(good), texts, [{"file": file.name, "row": i, "reason": reason} for i, reason in rejects.items()])


def text_of(value: Any, reason: str) -> str:
    """The text to label; raises ``ValueError`` with the reason where there is none."""
    require(not reason, reason)
    require(value is not None, "the text is missing")
    require(isinstance(value, str | bytes), f"the text is {type(value).__name__}, not text")
    text = value.decode() if isinstance(value, bytes) else value
    require(text.strip(), "the text is empty")
    return text


def begin(output: Path, begun: dict[str, Any]) -> None:
    """Note what this folder is for, or stop where it was begun for something else; leavings of a killed run go."""
    for left in [*output.glob(".*.????????"), *(output / ".progress").glob(".*")]:
        shutil.rmtree(left, ignore_errors=True)
    file = output / ".progress" / "begun.json"
    if not file.exists():
        require(not any(output.glob("part-*.parquet")), f"{output} holds shards of something else: choose a new folder.")
        write_json(file, begun)
    known = read_json(file)
    changed = " and ".join(name if name == "input" else f"{name} ({known[name]}, not {now})" for name, now in begun.items() if known[name] != now)
    require(not changed, f"{output} was begun with another {changed}: choose a new folder, or give what it was begun with.")


def paths(output: Path, number: int) -> tuple[Path, Path]:
    """Where a shard lies, and its record."""
    return output / f"part-{number:05}.parquet", output / ".progress" / f"part-{number:05}.json"


def finished(output: Path, number: int, shard: Shard) -> bool:
    """Whether this shard was written and recorded; where it is no longer as it was, that is said."""
    part, record = paths(output, number)
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = read_json(record)
        if (known["rows"], known["rejects"], known["sha256"]) == (len(shard.texts), shard.rejects, sha256(part)):
            return True
    if record.exists():
        print(f"The shard {part.name} is damaged or gone: its {len(shard.texts)} texts are labelled again.")
    return False


def write(output: Path, number: int, shard: Shard, logits: np.ndarray) -> None:
    """Write the shard, then its record; a manifest that stands there is not true before the end."""
    part, record = paths(output, number)
    (output / "manifest.json").unlink(missing_ok=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), logits.shape[1]).cast(pa.list_(pa.float32()))
    with written_aside(part) as aside:
        pq.write_table(shard.table.append_column("teacher_logits", column), aside)
    write_json(record, {"shard": part.name, "rows": len(shard.texts), "sha256": sha256(part), "rejected": len(shard.rejects), "rejects": shard.rejects})


def finish(output: Path, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Merge what was set aside in all ``count`` shards, and write the manifest."""
    shards = [read_json(paths(output, number)[1]) for number in range(count)]
    with written_aside(output / "rejects.jsonl") as aside, aside.open("w", encoding="utf-8") as merged:
        for shard in shards:
            merged.writelines(json.dumps(reject, ensure_ascii=False) + "\n" for reject in shard.pop("rejects"))
    counts = {name: sum(shard[name] for shard in shards) for name in ("rows", "rejected")}
    versions = {module.__name__: module.__version__ for module in (torch, transformers, pa)}
    shutil.rmtree(output / ".progress" / "claims", ignore_errors=True)
    write_json(output / "manifest.json", manifest := counts | settings | {"shards": shards, "versions": versions})
    return manifest


def sha256(file: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
