"""`python -m benchmarks [workload ...]`: measure, print one table, write it as Markdown and JSON if asked."""

import argparse
import importlib
import sys
from pathlib import Path

from .common import as_json, machine, markdown

WORKLOADS = ("empty_call", "coba", "coba_large", "microcircuit", "plastic", "stored", "jit", "first_result")


def main() -> None:
    """Run the workloads asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, metavar="workload", help=f"of {', '.join(WORKLOADS)}, paths")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, the medians of which are quoted")
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.json")
    arguments = parser.parse_args()
    about, rows = machine(), []
    for name in arguments.workloads:
        if name not in (*WORKLOADS, "paths"):
            parser.error(f"unknown workload {name!r}")
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f".{name}", __package__).measure(arguments.rounds)
    table = markdown(rows, about)
    print(table)
    if arguments.out:
        arguments.out.with_suffix(".md").write_text(table + "\n")
        arguments.out.with_suffix(".json").write_text(as_json(rows, about) + "\n")


if __name__ == "__main__":
    main()
