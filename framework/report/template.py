"""Pages from the templates of this folder: everything inside, everything from a run escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from framework.report import charts

_FOLDER = Path(__file__).parent


def render(name: str, content: Mapping[str, Any]) -> str:
    """The text of the page `name`.

    Its security policy allows no request, and no script but the one of this folder, which it names by its digest.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    shared = {
        "charts": charts,
        "style": (_FOLDER / "style.css").read_text(encoding="utf-8"),
        "script": script,
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    }
    return environment.get_template(name).render({**content, **shared})
