"""Have a program write candidates that edits a folder: a coding agent's command line, or a script."""

from engine.designers.command.designer import CommandDesigner

__all__ = ["CommandDesigner"]
