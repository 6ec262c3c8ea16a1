"""Flags of `launch.py` and what each of them starts.

Nothing here imports torch: help, listings and configuration errors answer at once.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.core import slurm
from framework.core.errors import ConfigError, Interrupted, UserError
from framework.diffusion.families.support import RECORDS
from framework.systems.full_disk import is_disk_full, no_room_for

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder, where configs/ and custom/ lie."""

_MESH = "mesh="

DEFAULT_PORT = 8080
"""Of `--viewer`."""

DESCRIPTION = "Text to 3D by distilling diffusion models. Training is what happens when no other action is named."
EPILOG = """examples:
  python launch.py --config configs/dreamfusion.yaml prompt="a red mushroom"
  python launch.py --config configs/dreamfusion.yaml resume=last
  python launch.py --config configs/dreamfusion.yaml --viewer
  python launch.py --config configs/magic3d.yaml prompt="a yellow duck" --stage coarse
  python launch.py --config configs/refine.yaml mesh=asset.glb prompt="a red mushroom"
  python launch.py --export --run outputs/dreamfusion/a-red-mushroom@20260101-120000
  python launch.py --evaluate outputs/dreamfusion/*
  python launch.py --list geometry
  python launch.py --describe guidance/score-distillation
  python launch.py --verify-prior sdxl variant=fp16

settings that hold in every config:
  prompt=TEXT  prior=NAME|FOLDER|HUB/ID  seed=N  output_root=FOLDER  resume=RUN|CHECKPOINT|last  trainer.max_steps=N
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `launch.py`."""
    parser = argparse.ArgumentParser(
        "launch.py", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file that describes the run")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--train", action="store_true", help="train, then export the mesh and its turntable (default)")
    action.add_argument("--validate", action="store_true", help="draw the validation images of --run")
    action.add_argument("--test", action="store_true", help="render the turntable of --run")
    action.add_argument("--export", action="store_true", help="write the mesh of --run, and its turntable")
    action.add_argument(
        "--evaluate", nargs="+", metavar="RUN|GLB", help="score meshes against the toybox scenes their prompts name"
    )
    action.add_argument("--report", action="store_true", help="write the report of --run from its files")
    action.add_argument(
        "--verify-prior",
        metavar="MODEL",
        help="check a prior and its weights: toybox, a short name such as sdxl, a folder of diffusers, or a hub id",
    )
    action.add_argument(
        "--list", nargs="?", const="", metavar="KIND", help="list registered components, of one kind or all"
    )
    action.add_argument("--describe", metavar="KIND/NAME", help="show a component's settings")
    action.add_argument(
        "--print-config", action="store_true", help="print the resolved config and where each value is from"
    )
    action.add_argument(
        "--doctor", action="store_true", help="what is installed and which implementations will be used"
    )
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="run folder that --validate, --test, --export and --report read"
    )
    parser.add_argument("--stage", metavar="NAME", help="train this one of the config's stages, and no other")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RUN|MESH",
        help="start from the scene of a run, or from a mesh file (which can be named by mesh=FILE, too)",
    )
    parser.add_argument(
        "--gpu",
        type=_numbers,
        metavar="N[,N...]",
        help="CUDA device to use (default: the first one, else the CPU), or several to train on together",
    )
    parser.add_argument(
        "--viewer",
        nargs="?",
        type=_port,
        const=DEFAULT_PORT,
        metavar="PORT",
        help=f"watch the training in a browser on this machine (default port: {DEFAULT_PORT})",
    )
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="do not load the extension NAME")
    parser.add_argument("--verbose", action="store_true", help="show tracebacks of errors and debug messages")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings that override the config's")
    return parser


def _numbers(text: str) -> list[int]:
    """The numbers of devices that `--gpu` names."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers of devices such as 0 or 0,1, got '{text}'") from None


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status (2 for errors that a user can mend)."""
    parser = build_parser()
    options = parser.parse_intermixed_args(_with_viewer_port(arguments))
    options.arguments = list(arguments)
    _show_log(verbose=options.verbose)
    try:
        status = _dispatch(options, parser)
        if status == slurm.STOPPED:
            slurm.requeue()  # Last of all: SLURM may end this process at once.
        return status
    except (UserError, OSError) as error:
        if options.verbose or not (isinstance(error, UserError) or is_disk_full(error)):
            raise
        told = error if isinstance(error, UserError) else no_room_for(error)
        print(told.report(), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted):
        print("Interrupted.", file=sys.stderr)
        return 130


def _with_viewer_port(arguments: Sequence[str]) -> list[str]:
    """The arguments with the port that `--viewer` leaves out, which would take the next word for it."""
    return [
        f"{word}={DEFAULT_PORT}" if word == "--viewer" and not after.isdigit() else word
        for word, after in itertools.zip_longest(arguments, arguments[1:], fillvalue="")
    ]


def _port(text: str) -> int:
    if not (text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"expected the number of a port, below 65536, got {text!r}")
    return int(text)


def _dispatch(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from framework.cli import extensions

    evaluates = options.validate or options.test or options.export
    if options.run is not None and not (evaluates or options.report):
        raise UserError(
            "--run needs --validate, --test, --export or --report. To go on training a run, use resume=DIR."
        )
    if options.viewer is not None and (evaluates or options.report or options.evaluate or options.verify_prior):
        raise UserError("--viewer shows a training, and there is none here. Leave it out.")
    if options.doctor:
        from framework.cli.doctor import doctor

        return doctor(options.gpu)
    if options.list is not None or options.describe:
        from framework.cli import inspect

        extensions.load(ROOT / "custom", only=None, without=options.without)
        if options.list is None:
            return inspect.describe(options.describe)
        return inspect.list_components(options.list, records=ROOT / RECORDS)
    if options.verify_prior:
        from framework.cli import verify

        return verify.run(options, ROOT / RECORDS)
    if options.evaluate:
        from framework.cli import scoring

        return scoring.run(options)
    if options.report:
        from framework.cli import report

        return report.run(options)
    if evaluates:
        from framework.cli import evaluate

        return evaluate.run(options, ROOT / "custom")
    if options.config is None:
        parser.print_usage(sys.stderr)
        raise ConfigError("--config is missing: name a YAML file, such as --config configs/dreamfusion.yaml.")
    return _with_config(options)


def _with_config(options: argparse.Namespace) -> int:
    from framework.cli import extensions
    from framework.core.stages import parse_stages, stage_trees
    from framework.core.yaml_tree import load_tree, override

    tree = override(load_tree(options.config), _settings(options))
    extensions.load(ROOT / "custom", only=extensions.named_in(tree), without=options.without)
    configs = parse_stages(tree)
    if options.print_config:
        from framework.cli.resolved import print_config

        trees = {"": tree} if "" in configs else stage_trees(tree)
        for name, config in configs.items():
            print_config(config, trees[name], stage=name)
        return 0
    from framework.cli import ranks, stages, train

    try:
        if "" in configs and options.stage is not None:
            raise ConfigError(f"--stage {options.stage}: {options.config} has no stages.")
        here, count = ranks.place(), ranks.wanted(options, configs)
        if options.viewer is not None and (here is not None or count > 1):
            raise UserError(
                "--viewer: what several processes train cannot be watched. Leave it out, or train with one."
            )
        if here is None and count > 1:
            return ranks.start(options.arguments, count)
        with ranks.joined(here, options):
            return train.run(configs[""], options) if "" in configs else stages.run(configs, options)
    except ConfigError as error:
        raise error.located(tree.origin) from error


def _settings(options: argparse.Namespace) -> list[str]:
    """The settings of the command line; `--from X` and `mesh=X` are other ways to say `start_from=X`.

    Raises:
        ConfigError: If two of these name different things.
    """
    words = [f"start_from={word.removeprefix(_MESH)}" if word.startswith(_MESH) else word for word in options.settings]
    words += [] if options.start is None else [f"start_from={options.start}"]
    starts = {word.partition("=")[2] for word in words if word.startswith("start_from=")}
    if len(starts) > 1:
        named = " and ".join(f"'{start}'" for start in sorted(starts))
        raise ConfigError(f"--from, mesh= and start_from= mean the same, but name {named}. Give one of them.")
    return words


def _show_log(*, verbose: bool) -> None:
    """Print what the package logs, as plain lines."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("framework").setLevel(logging.DEBUG if verbose else logging.INFO)
