"""The settings of a new run: config.toml, the task, a preset, the command line; and whether its models may be asked."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from engine.errors import UsageError
from engine.journal.reader import JournalReader
from engine.llm.faults import key_of
from engine.runs.folder import Run
from engine.runs.presets import Preset
from engine.runs.prices import with_public_prices
from engine.runs.reach import Layer, check_way_out, foreign_endpoints, reads_outside
from engine.settings.decode import deep_merge, read_toml
from engine.settings.model import Settings, analyzes_by_model, designs_by_model, merge_settings
from engine.settings.models import NO_ANALYZER, RULES, ModelSpec, RoleSettings
from engine.state.fold import fold_run
from engine.task.spec import Task
from engine.workspace import workspace

__all__ = ["asks_models", "choose_settings", "configured", "lacks_limit", "model_table", "own_layers", "replayed"]
__all__ += ["require_limit", "task_settings"]


_TABLES = ("models", "roles", "executor", "command")
_OF_PERSONS = {
    "executor": "Set it in config.toml, or with --executor",
    "command": "Set it in config.toml, or with --set",
}
"""Tables that a task may not bring, as they say what runs on this machine and where; and what to do instead."""


def configured() -> dict[str, Any]:
    """Return the settings of runs in the workspace's config.toml: `[run]`, `[models.NAME]`, `[roles]`,
    `[executor]` and `[command]`, as one table.

    Raises:
        UsageError: it is not TOML, or one of them is not a table.
    """
    path = workspace() / "config.toml"
    whole = read_toml(path, UsageError) if path.exists() else {}
    for key in ("run", *_TABLES):
        if not isinstance(whole.get(key, {}), dict):
            raise UsageError(f"{path}: {key} is no table")
    return deep_merge(whole.get("run", {}), {key: whole[key] for key in _TABLES if key in whole})


def model_table(model: str, base_url: str, task: Task | None = None) -> tuple[str, dict[str, Any]]:
    """Return the model that `--model` and `--base-url` name, configured or new, and its settings."""
    known = deep_merge(configured(), task.spec.run if task else {}).get("models", {})
    where = {"base_url": base_url} if base_url else {}
    if model in known:
        return model, where
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")
    return "model" if name in ("", RULES, NO_ANALYZER) else name, {"model": model, **where}


def choose_settings(
    task: Task, preset: Preset, own: Sequence[Layer], only: str = "", base: Layer | None = None
) -> Settings:
    """Return the settings of a new run.

    Args:
        task: its settings override those of config.toml.
        preset: overrides the task.
        own: settings that a person gives for this run; they override all others.
        only: name of the one model that the run is to have; empty: all that are configured.
        base: replaces config.toml, task and preset.

    Raises:
        UsageError: a key is unknown, a value does not fit, or a model cannot be used as configured.
    """
    config = workspace() / "config.toml"
    layers: list[Layer] = [(str(config), configured()), (f"{task.folder / 'task.toml'}: run", task.spec.run)]
    if base is not None:
        layers = [base]
    else:
        layers.append(("preset", preset.settings))
    _check_names([*layers, *own])
    for key, instead in _OF_PERSONS.items():
        if key in task.spec.run:
            where = layers[1][0] if base is None else task.folder
            raise UsageError(f"{where}: `{key}` is not a task's to set", instead)
    settings = merge_settings(*layers, *own)
    if only:
        analyzer = settings.roles.analyzer if settings.roles.analyzer in (RULES, NO_ANALYZER) else ""
        settings = msgspec.structs.replace(
            settings, models={only: settings.models[only]}, roles=RoleSettings(analyzer=analyzer)
        )
        _check_reachable(settings, only)
    if base is None:
        settings = preset.sample(settings)
        _check_keys(task, settings, [layers[0], *own])
        check_way_out(reads_outside(task), settings, [layers[0], *own])
    _check_roles(task, settings)
    return with_public_prices(settings) if base is None and asks_models(settings) else settings


def replayed(run: Run) -> Layer:
    """Return the settings for a run that replays the recorded answers of another one."""
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    settings = msgspec.to_builtins(state.settings)
    if state.seed_known and settings["data_seed"] is None:
        settings["data_seed"] = settings["seed"]
    return str(run.folder), {**settings, "answers": str(run.folder.absolute())}


def lacks_limit(settings: Settings) -> bool:
    """Return whether models that cost money would be asked without a limit."""
    priced = any(model.priced for model in settings.models.values())
    return asks_models(settings) and priced and settings.usd is None


def require_limit(settings: Settings) -> None:
    """Raise UsageError if models that cost money would be asked without a limit."""
    if lacks_limit(settings):
        raise UsageError("the models cost money, and no limit is given", "Give one with --usd X, or usd = X in [run]")


def asks_models(settings: Settings) -> bool:
    """Return whether a run with these settings asks models."""
    asked = designs_by_model(settings) or analyzes_by_model(settings) or settings.fitness.judge > 0
    return asked and not settings.answers


def _check_names(layers: Sequence[Layer]) -> None:
    """Raise UsageError if settings are for a model that no layer describes: its name may have been mistaken."""
    tables = [(label, values["models"]) for label, values in layers if isinstance(values.get("models"), dict)]
    known = [
        name for _, models in tables for name, table in models.items() if isinstance(table, dict) and "model" in table
    ]
    for label, models in tables:
        for name in models:
            if name not in known:
                there = f"The models are {', '.join(dict.fromkeys(known))}" if known else "No model is configured"
                raise UsageError(f"{label}: no model is called '{name}'", there)


def _check_reachable(settings: Settings, only: str) -> None:
    """Raise UsageError for the one model of a run if it has neither an endpoint nor a key for OpenAI's own."""
    model = settings.models[only]
    if not asks_models(settings) or model.base_url or os.environ.get("OPENAI_BASE_URL") or key_of(model):
        return
    named = f"{model.key_env} is not set" if model.key_env else "key_env names no variable"
    raise UsageError(
        f"the model '{model.model or only}' has neither an endpoint nor a key: no --base-url is given, and {named}",
        f"Use --base-url URL, or export {model.key_env or ModelSpec().key_env} to ask OpenAI's endpoint",
    )


def _check_roles(task: Task, settings: Settings) -> None:
    if settings.designer.name == "llm" and not settings.models:
        raise UsageError(
            "the designer 'llm' needs a model, and none is configured",
            "Use --model NAME (and --base-url URL), or --designer recombine",
        )
    if settings.fitness.judge and not (settings.models and task.spec.judge):
        lack = "the task has no [judge]" if settings.models else "no model is configured"
        raise UsageError(f"fitness.judge = {settings.fitness.judge:g} wants a judge, and {lack}")


def own_layers(own: Sequence[Layer]) -> list[Layer]:
    """Return the layers of settings that a person gives: config.toml, then those for this run."""
    return [(str(workspace() / "config.toml"), configured()), *own]


def task_settings(task: Task) -> Settings:
    """Return the settings of a task's next run if none are given for it.

    Raises:
        UsageError: a key is unknown or a value does not fit.
    """
    return merge_settings(*own_layers(()), (f"{task.folder / 'task.toml'}: run", task.spec.run))


def _check_keys(task: Task, settings: Settings, own: Sequence[Layer]) -> None:
    """Raise UsageError if a task, which may come from anywhere, would send a person's key to an endpoint of its own."""
    said = {f"models.{name}": table for name, table in task.spec.run.get("models", {}).items()}
    said["run.retrieval"] = task.spec.run.get("retrieval", {})
    for name, base_url, key_env in foreign_endpoints(settings, own):
        if not key_env or said.get(name, {}).keys().isdisjoint(("base_url", "key_env")):
            continue
        if urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1"):
            setting = name.removeprefix("run.")
            raise UsageError(
                f"the task's {setting} would send the key in {key_env} to {base_url or 'OpenAI'}",
                f"If that is right, say it in {Path(workspace(), 'config.toml')} or with "
                f"--set {setting}.base_url=… --set {setting}.key_env=…",
            )
