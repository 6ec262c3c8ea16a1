"""Scenes to draw."""

from __future__ import annotations

from solids import assemble, make_scene, make_solid

__all__ = ["assemble", "make_scene", "make_solid"]
