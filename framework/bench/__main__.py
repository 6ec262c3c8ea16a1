"""`python -m framework.bench NAME --json FILE` measures; `--pages` writes `docs/benchmarks.md`; `--check` compares it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.bench import suite
from framework.bench.page import page
from framework.bench.rows import Report
from framework.bench.suite import Benchmark
from framework.core.errors import UserError
from framework.core.files import write_text

DOCS = Path(__file__).resolve().parents[2] / "docs"

BENCHMARKS = {
    item.name: item
    for item in (
        Benchmark(
            "main-job",
            "Main job",
            "`python launch.py --config configs/dreamfusion.yaml` from the command to the mesh and its turntable, and the "
            "largest memory of the process.",
            "framework.bench.main_job",
        ),
        Benchmark(
            "steps",
            "Training steps",
            "Speed of the default config at 64 x 64 pixels over the last 100 of 300 steps, when empty space is pruned.",
            "framework.bench.steps",
        ),
        Benchmark(
            "devices",
            "Devices",
            "Speed of the default config with two views a step over the last 100 of 200 steps: drawn by one process with all "
            "threads of the processor, by two processes (gloo) with half of them each, and by one in two micro-steps.",
            "framework.bench.devices",
        ),
        Benchmark(
            "results",
            "Results",
            "Runs whose right answer is known. The shape score of an exported mesh, read back from disk, is 1 for the scene "
            "that its prompt names and 0 for the best-fitting ellipsoid; the margin is its overlap with that scene minus "
            "that with the best scene of another name.",
            "framework.bench.results",
        ),
        Benchmark(
            "tuning",
            "Tuning",
            "Trials by which the settings of the default config were chosen, on development prompts alone. Each row names "
            "what differs from the default of its commit.",
            "framework.bench.tuning",
        ),
        Benchmark(
            "evaluation",
            "Evaluation",
            "The default config on prompts that nothing was tuned on, beside the start blob, the best ellipsoid, shuffled "
            "names, samples of the prior, and the oracle prior told the camera, which is what the field can hold: each view "
            "is then drawn towards the true image of its camera. Shares are means, other numbers interquartile means.",
            "framework.bench.evaluation",
        ),
        Benchmark(
            "rules",
            "Rules",
            "Each rule of distillation with its own config on three development prompts, with the oracle (a perfect model "
            "of the scene, no amplification of the prompt) and with the bundled network. Below: four cubes of any colour, as "
            "particles of VSD and as seeds of SDS; how many colours they have, how far those are from gray, and 1 - IoU of "
            "the solids.",
            "framework.bench.rules",
        ),
        Benchmark(
            "operations",
            "Operations",
            "Each implementation of an operation, called in turn in one process; medians. Forward and backward.",
            "framework.bench.operations",
        ),
        Benchmark(
            "start-up",
            "Start-up",
            "Time from the command to its answer, in a new process each; medians of 5.",
            "framework.bench.start_up",
        ),
        Benchmark(
            "kills",
            "Kills",
            "Small runs of the default config and of all those in `configs/debug`, killed with SIGKILL, every second batch of "
            "them while a checkpoint is being written and the others at moments drawn at random, then resumed with "
            "`resume=last` and compared with the same runs left alone.",
            "framework.bench.kills",
        ),
        Benchmark(
            "configs",
            "Mistakes in configs",
            "Real configs with one to three random mistakes each: wrong types, names, keys, numbers, nesting, schedules, "
            "paths of the optimizer, letters, and spellings of YAML.",
            "framework.bench.configs",
        ),
        Benchmark(
            "checkpoints",
            "Damaged checkpoints",
            "Copies of a run's checkpoint, damaged at random places, and files that only look like checkpoints.",
            "framework.bench.checkpoints",
        ),
        Benchmark(
            "viewer",
            "Live viewer",
            "The default config while somebody watches it over a websocket on the same machine, turning the scene and resting, "
            "against the same training while nobody does; and with a viewer that nobody opens against none.",
            "framework.bench.viewer",
        ),
    )
}


def main(arguments: Sequence[str], *, docs: Path = DOCS) -> int:
    """Run the command line; returns the exit status: 1 if a row failed or the page differs, 2 for wrong usage."""
    parser = _parser(docs)
    options = parser.parse_args(list(arguments))
    try:
        if options.name is not None:
            return _measure(BENCHMARKS[options.name], options, docs)
        if options.pages:
            write_text(docs / "benchmarks.md", _text(docs))
            return 0
        if options.check:
            return _check(docs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parser.print_usage(sys.stderr)
    return 2


def _parser(docs: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m framework.bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=list(BENCHMARKS), help="what to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where its rows are kept (docs/benchmarks/NAME.json)")
    parser.add_argument("--only", metavar="TEXT", help="only rows whose name contains TEXT")
    parser.add_argument(
        "--repeat", action="store_true", help="measure rows again that this commit has measured already"
    )
    parser.add_argument("--pages", action="store_true", help=f"write {docs.name}/benchmarks.md")
    parser.add_argument("--check", action="store_true", help=f"fail if {docs.name}/benchmarks.md is out of date")
    return parser


def _measure(benchmark: Benchmark, options: argparse.Namespace, docs: Path) -> int:
    path = options.json or docs / "benchmarks" / f"{benchmark.name}.json"
    report = Report.load(path, benchmark.name)
    failures = suite.run(benchmark.suite(), report, path.resolve(), only=options.only, repeat=options.repeat)
    if path.resolve().parent == (docs / "benchmarks").resolve():
        write_text(docs / "benchmarks.md", _text(docs))
    if failures:
        print(f"{len(failures)} rows failed: {'; '.join(failures)}.", file=sys.stderr)
    return 1 if failures else 0


def _check(docs: Path) -> int:
    path = docs / "benchmarks.md"
    if path.is_file() and path.read_text(encoding="utf-8") == _text(docs):
        return 0
    print(f"{path} differs from docs/benchmarks/*.json. Run: python -m framework.bench --pages", file=sys.stderr)
    return 1


def _text(docs: Path) -> str:
    folder = docs / "benchmarks"
    return page([(item, Report.load(folder / f"{name}.json", name)) for name, item in BENCHMARKS.items()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
