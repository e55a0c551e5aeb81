"""Design without a model: recombine seeds, recipes and earlier nodes."""

from engine.designers.recombine.bandit import BANDITS
from engine.designers.recombine.designer import OPINIONS, RecombineDesigner
from engine.designers.recombine.inventory import check_tuning, take_inventory
from engine.designers.recombine.program import EditError
from engine.designers.recombine.recipes import check_recipes

__all__ = [
    "BANDITS",
    "OPINIONS",
    "EditError",
    "RecombineDesigner",
    "check_recipes",
    "check_tuning",
    "take_inventory",
]
