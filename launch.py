"""Distill3D's command line: `python launch.py --config configs/dreamfusion.yaml prompt="a red mushroom"`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from framework.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
