"""Triton: kernels in Python."""

from __future__ import annotations

import dataclasses

from engine.programs.languages import python

__all__ = ["LANGUAGE"]

LANGUAGE = dataclasses.replace(
    python.LANGUAGE, name="triton", title="Triton (Python)", fences=(*python.LANGUAGE.fences, "triton")
)
