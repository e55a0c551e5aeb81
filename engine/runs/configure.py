"""The settings of a new run: config.toml, the task, a preset, the command line; and whether its models may be asked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from engine.errors import UsageError
from engine.journal.reader import JournalReader
from engine.llm.faults import key_of
from engine.runs.folder import Run
from engine.runs.presets import Preset
from engine.settings.decode import deep_merge, read_toml
from engine.settings.model import Settings, analyzes_by_model, designs_by_model, merge_settings
from engine.settings.models import NO_ANALYZER, RULES, ModelSpec, RoleSettings
from engine.settings.named_paths import named_mounts
from engine.state.fold import fold_run
from engine.task.spec import Task
from engine.workspace import workspace

__all__ = ["check_way_out", "choose_settings", "configured", "lacks_limit", "model_table", "replayed", "require_limit"]

Layer = tuple[str, Mapping[str, Any]]
"""Where a table of settings came from, and the table."""


def configured() -> dict[str, Any]:
    """What config.toml of the workspace says of runs: `[run]`, `[models.NAME]` and `[roles]`, as one table of settings.

    Raises:
        UsageError: it is no TOML, or one of them is no table.
    """
    path = workspace() / "config.toml"
    whole = read_toml(path, UsageError) if path.exists() else {}
    for key in ("run", "models", "roles"):
        if not isinstance(whole.get(key, {}), dict):
            raise UsageError(f"{path}: {key} is no table")
    return deep_merge(whole.get("run", {}), {key: whole[key] for key in ("models", "roles") if key in whole})


def model_table(task: Task, model: str, base_url: str) -> tuple[str, dict[str, Any]]:
    """What `--model` and `--base-url` mean: the name of a configured model, or of a new one, and what is said of it."""
    known = deep_merge(configured(), task.spec.run).get("models", {})
    where = {"base_url": base_url} if base_url else {}
    if model in known:
        return model, where
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")
    return "model" if name in ("", RULES, NO_ANALYZER) else name, {"model": model, **where}


def choose_settings(
    task: Task, preset: Preset, own: Sequence[Layer], only: str = "", base: Layer | None = None
) -> Settings:
    """The settings of a new run.

    Args:
        task: its own settings stand above those of config.toml.
        preset: stands above the task.
        own: what a person says for this run, on top of all.
        only: name of the one model that the run is to have; empty: all that are configured.
        base: stands in the place of config.toml, task and preset.

    Raises:
        UsageError: a key is unknown, a value does not fit, or the models cannot be what they are to be.
    """
    config = workspace() / "config.toml"
    layers: list[Layer] = [(str(config), configured()), (f"{task.folder / 'task.toml'}: run", task.spec.run)]
    if base is not None:
        layers = [base]
    else:
        layers.append(("preset", preset.settings))
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
        check_way_out(task, [layers[0], *own])
    _check_roles(task, settings)
    return settings


def replayed(run: Run) -> Layer:
    """The settings of a run whose recorded answers are to be given again."""
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    settings = msgspec.to_builtins(state.settings)
    if state.seed_known and settings["data_seed"] is None:
        settings["data_seed"] = settings["seed"]
    return str(run.folder), {**settings, "answers": str(run.folder.absolute())}


def lacks_limit(settings: Settings) -> bool:
    """Whether models that cost money would be asked without a limit."""
    priced = any(model.priced for model in settings.models.values())
    return _asks(settings) and priced and settings.usd is None


def require_limit(settings: Settings) -> None:
    """Raise UsageError where models that cost money would be asked without a limit."""
    if lacks_limit(settings):
        raise UsageError("the models cost money, and no limit is given", "Give one with --usd X, or usd = X in [run]")


def _asks(settings: Settings) -> bool:
    """Whether the run is going to ask models."""
    asked = designs_by_model(settings) or analyzes_by_model(settings) or settings.fitness.judge > 0
    return asked and not settings.answers


def _check_reachable(settings: Settings, only: str) -> None:
    """Raise UsageError for the one model of a run if it has neither an endpoint nor a key for OpenAI's own."""
    model = settings.models[only]
    if not _asks(settings) or model.base_url or os.environ.get("OPENAI_BASE_URL") or key_of(model):
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


def check_way_out(task: Task, own: Sequence[Layer]) -> None:
    """Refuse folders of this machine together with an endpoint, if the task brings both and a person named neither.

    Args:
        task: it may have come from anywhere.
        own: the tables of settings that a person wrote.

    Raises:
        UsageError: it names the folder and the endpoint.
    """
    known = {table.get("base_url", "") for table in _model_tables(own).values()} | {""}
    tables = task.spec.run.get("models", {})
    foreign = {name: table["base_url"] for name, table in tables.items() if table.get("base_url", "") not in known}
    if not foreign or not task.spec.mounts:
        return
    allowed = [task.folder.resolve(), *(Path(path).resolve() for path in named_mounts())]
    for mount in ((task.folder / each).resolve() for each in task.spec.mounts):
        if not any(mount.is_relative_to(folder) for folder in allowed):
            name, url = next(iter(foreign.items()))
            raise UsageError(
                f"the task lets its programs read {mount} and sends texts to an endpoint of its own, {url}",
                f'If you trust it, name one of the two in config.toml: [mounts] paths = ["{mount}"], or '
                f'base_url = "{url}" in [models.{name}]',
            )


def _model_tables(own: Sequence[Layer]) -> dict[str, Any]:
    """Return what a person says of models, by name: config.toml and the command line, not the task."""
    tables: dict[str, Any] = {}
    for _, layer in own:
        tables = deep_merge(tables, layer.get("models", {}))
    return tables


def _check_keys(task: Task, settings: Settings, own: Sequence[Layer]) -> None:
    """A task may have come from anywhere: it must not say where the keys of a person are sent."""
    tables = _model_tables(own).values()
    trusted = {(table.get("base_url", ""), table.get("key_env", ModelSpec().key_env)) for table in tables}
    for name, table in task.spec.run.get("models", {}).items():
        model = settings.models.get(name)
        if model is None or not model.key_env or table.keys().isdisjoint(("base_url", "key_env")):
            continue
        here = urlsplit(model.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        if not here and (model.base_url, model.key_env) not in trusted:
            raise UsageError(
                f"the task's models.{name} would send the key in {model.key_env} to {model.base_url or 'OpenAI'}",
                f"If that is right, say it in {Path(workspace(), 'config.toml')} or with "
                f"--set models.{name}.base_url=… --set models.{name}.key_env=…",
            )
