"""The model-free designer: recombination of seeds, recipes and earlier nodes."""

from engine.designers.recombine.designer import RecombineDesigner
from engine.designers.recombine.recipes import check_recipes

__all__ = ["RecombineDesigner", "check_recipes"]
