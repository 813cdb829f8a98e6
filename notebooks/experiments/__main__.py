"""Make the stored tables that notebooks read. `make experiments`."""

import argparse
import os
from importlib import import_module

import torch

from . import table

TABLES = {"11_student_anatomy": "anatomy", "12_with_fewer_labels": "fewer_labels", "13_languages_and_domains": "carry_over",
          "14_robust_fair_explained": "trust"}  # fmt: skip


def main() -> None:
    """Make what is missing of the tables that are named, or of all."""
    parser = argparse.ArgumentParser(prog="make experiments", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TABLES), help=f"of {', '.join(TABLES)}")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else os.cpu_count() or 1)
    given = parser.parse_args()
    if unknown := set(given.names) - set(TABLES):
        parser.error(f"there is no table {', '.join(sorted(unknown))}: choose from {', '.join(TABLES)}")
    for language in ("zh", "en", "fr"):
        table.taught(language)  # so that the workers only read
    for name in given.names:
        module = import_module(f".{TABLES[name]}", __package__)
        table.make(name, module.ROWS, module.figures, given.workers)


if __name__ == "__main__":
    main()
