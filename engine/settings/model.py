"""Settings of a run: defaults, then config.toml, then the task's `[run]`, then the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.errors import EvolveError, UsageError
from engine.settings.command import CommandSettings, check_bounds
from engine.settings.decode import convert_table, deep_merge, parse_assignment
from engine.settings.executor import ExecutorSettings
from engine.settings.fitness import FitnessSettings
from engine.settings.models import NO_ANALYZER, RULES, ModelSpec, RoleSettings, check_address, check_models
from engine.settings.novelty import NoveltySettings
from engine.settings.standstill import StandstillSettings

__all__ = [
    "AnalyzerSettings",
    "DesignerSettings",
    "ModeWeights",
    "RetrievalSettings",
    "SamplerSettings",
    "Settings",
    "analyzes_by_model",
    "check_settings",
    "check_whole",
    "designs_by_command",
    "designs_by_model",
    "designs_freely",
    "merge_settings",
    "parse_setting",
]


_MOST_ISLANDS = 1_000
_KEPT = {"weighted": 40, "nsga2": 40}
"""weighted: over all nodes the median falls behind the best, and soon parts nothing any more. nsga2: a population."""
_MOST_CELLS = 10_000
"""Most cells of a grid, because every draw goes through all of them."""


class SamplerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which nodes a design is shown. Parameters of other samplers are kept and have no effect."""

    name: Literal[
        "ucb1", "ucb1_paper", "greedy", "random", "power_law", "weighted", "map_elites", "nsga2", "iid", "sequential"
    ] = "ucb1"
    inspirations: int = 2
    """Nodes shown beside the parent."""
    keep: int | Literal["auto"] | None = "auto"
    """Number of nodes to sample from, the best ones; others stay in the run and move up when a better one is pruned.
    None: all; `auto`: 40 for weighted and nsga2, else all; iid and sequential ignore it."""
    c: float = 0.1
    """ucb1: weight of the exploration term. The published form, ucb1_paper, always has 1.414."""
    alpha: float = 1.0
    """power_law: exponent; 0 draws evenly, a large one takes the best."""
    steepness: float = 10.0
    """weighted: λ, how sharply the median parts good from bad."""
    islands: int = 2
    """map_elites: number of populations; they exchange nodes only by migration."""
    features: list[str] = msgspec.field(default_factory=lambda: ["complexity", "diversity"])
    """map_elites: dimensions of the grid: complexity (bytes of the program), diversity (share of its lines that the
    run's first 20 programs do not have, on average), or metrics that the evaluator returns."""
    bins: int = 10
    """map_elites: bins of each dimension."""
    migration_interval: int = 10
    """map_elites: nodes born on an island between two migrations from it."""
    migration_rate: float = 0.1
    """map_elites: share of the nodes born on an island, the best ones, that the next island gets too."""
    exploration: float = 0.2
    """map_elites: chance that the parent is drawn evenly from its island."""
    exploitation: float = 0.7
    """map_elites: chance that the parent comes from its island's elite archive, at most what `exploration` leaves; else
    it is the elite of a cell."""
    archive: int = 20
    """map_elites: places in the elite archives of all islands together."""

    def __post_init__(self) -> None:
        leasts = {"inspirations": 0, "keep": 1, "islands": 1, "bins": 1, "migration_interval": 1, "archive": 1}
        for name, least in leasts.items():
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise ValueError(f"`{name}` must be at least {least}, not {value}")
        for name in ("c", "alpha", "steepness"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a number from 0, not {value}")
        for name in ("migration_rate", "exploration", "exploitation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie between 0 and 1, not {value}")
        if self.islands > _MOST_ISLANDS:
            raise ValueError(f"`islands` must be at most {_MOST_ISLANDS}, not {self.islands}")
        if not self.features or len(set(self.features)) < len(self.features):
            raise ValueError(f"`features` must name at least one dimension and none twice, not {self.features}")
        if self.bins ** len(self.features) > _MOST_CELLS:
            raise ValueError(f"`bins` and `features` make more than {_MOST_CELLS:,} cells")

    @property
    def kept(self) -> int | None:
        """`keep`, decided; None: all."""
        if self.keep == "auto":
            return _KEPT.get(self.name)
        return self.keep


class ModeWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the ways to write a design, among those that the designer and the round offer."""

    full: float = 0.3
    """Write the whole program anew."""
    diff: float = 0.6
    """Edit parts of the parent."""
    crossover: float = 0.05
    """Put parts of other nodes into the parent; needs a node beside it."""
    fix: float = 0.05
    """Fix a failed program; needs a recent failure that no design has taken up."""

    def __post_init__(self) -> None:
        weights = [getattr(self, name) for name in self.__struct_fields__]
        for name, weight in zip(self.__struct_fields__, weights, strict=True):
            if not 0 <= weight < math.inf:
                raise ValueError(f"`{name}` must be a number from 0, not {weight}")
        if self.full + self.diff == 0:
            raise ValueError("`full` or `diff` must weigh something: the other two are not always possible")


class DesignerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What writes candidates."""

    name: Literal["auto", "recombine", "llm", "command"] = "auto"
    """`auto` is `llm` if a model is configured, else `recombine`. `command`: the program that `command.run` names."""
    attempts: int = 4
    """Designs tried in a round before it ends without a node."""
    give_up: int = 3
    """Rounds in a row without a design after which the run waits for a person, or stops if it is unattended."""
    modes: ModeWeights = ModeWeights()
    choice: Literal["weights", "ucb", "thompson"] = "weights"
    """How the way of writing is chosen for each round: by weight alone, or by what each gained for its cost so far,
    with the weights as a prior; see `engine.state.mode_choice`."""
    bandit: Literal["learning", "frozen", "even"] = "learning"
    """recombine: what draws edits. `frozen` never learns beyond its initial opinions, `even` draws evenly; both are
    controls to measure the bandit against."""
    earlier_runs: bool = False
    """recombine: start with the gains of priors in earlier runs of the task, which the cognition base keeps. Such a run
    depends on them as well as on its seed: leave it off for runs that you compare."""
    recombine_share: float = 0.0
    """llm, command: chance that recombination, which costs nothing, writes an attempt instead."""

    def __post_init__(self) -> None:
        if self.give_up < 1:
            raise ValueError(f"`give_up` must be at least 1, not {self.give_up}")
        if not 0 <= self.recombine_share <= 1:
            raise ValueError(f"`recombine_share` must lie between 0 and 1, not {self.recombine_share}")


class AnalyzerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model reports on nodes; `roles.analyzer` says which."""

    ahead: bool = True
    """Whether the next design starts while a lesson is written, so that it knows the lessons before that one."""
    batch: int = 1
    """Nodes that a model reports on with one call, beside the rounds; fewer at the end of a run."""
    only: Literal["all", "surprises"] = "all"
    """`surprises`: ask a model about new bests, failures and large losses alone; the rules report on all others."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"`batch` must be at least 1, not {self.batch}")


class RetrievalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which priors a design is shown."""

    top_k: int = 4
    """Number of best matches for the context nodes' lessons."""
    drawn: int = 2
    """Number of further priors drawn by weight, so that those that match nothing are tried too."""
    threshold: float = 0.0
    """Least score of a match to show; the best match scores 1, times its weight."""
    embedder: Literal["auto", "off", "wordllama", "minilm", "endpoint", "sentence-transformers"] = "auto"
    """The model that measures how near two texts are in meaning; `auto` is wordllama if it is installed, `minilm` is
    MiniLM beside wordllama, `off` compares words only."""
    model: str = ""
    """endpoint: the model's name there; sentence-transformers: the model's folder."""
    base_url: str = ""
    """endpoint: its address, usually ending in `/v1`; if empty, OpenAI's."""
    key_env: str = "OPENAI_API_KEY"
    """endpoint: name of the environment variable that holds the key; empty if the endpoint needs none."""
    proposals: Literal["ask", "auto", "off"] = "ask"
    """What happens to priors that the analyzer proposes: `ask` a person, accept all (`auto`), or keep none (`off`)."""

    def __post_init__(self) -> None:
        if self.top_k < 0 or self.drawn < 0 or not 0 <= self.threshold < math.inf:
            raise ValueError("`top_k`, `drawn` and `threshold` must not be below 0")
        check_address(self.base_url, self.key_env)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a run; `evolve set RUN key=value` changes one while the run goes on."""

    rounds: int = 100
    """Rounds in all, not counting round 0 of the seeds."""
    hours: float | None = None
    """Hours of engine time after which the run stops."""
    usd: float | None = None
    """Spending on models in US dollars at which the run stops."""
    tokens: int | None = None
    """Tokens in and out at which the run stops."""
    target: float | None = None
    """Best score at which the run finishes."""
    patience: int | None = None
    """Rounds without a new best after which the run finishes."""
    workers: int | None = None
    """Rounds in flight; by default slots + 2."""
    slots: int | None = None
    """Evaluations at once; by default one per GPU for a task that needs one, else one per core."""
    devices: list[int] | None = None
    """Indices of the GPUs that a task which needs one may use; by default all."""
    seed: int = 0
    """Seed of every random draw of the search."""
    data_seed: int | None = None
    """A known seed for the data that programs are judged on, so that scores can be reproduced; by default they follow
    from a secret of the run, so that no program can know them."""
    confidence: float = 0.9
    """Confidence, one-sided, at which the spread of a new best's gains must support a gain; 0.5 asks for none."""
    designer: DesignerSettings = DesignerSettings()
    analyzer: AnalyzerSettings = AnalyzerSettings()
    sampler: SamplerSettings = SamplerSettings()
    standstill: StandstillSettings = StandstillSettings()
    novelty: NoveltySettings = NoveltySettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    executor: ExecutorSettings = ExecutorSettings()
    fitness: FitnessSettings = FitnessSettings()
    models: dict[str, ModelSpec] = {}
    """Models that may be asked, by names of your choice."""
    roles: RoleSettings = RoleSettings()
    command: CommandSettings = CommandSettings()
    answers: str = ""
    """Folder of a run whose recorded answers are used instead of asking models; empty: ask models."""

    def __post_init__(self) -> None:
        least_of = {"rounds": 0, "hours": 0, "usd": 0, "tokens": 0, "patience": 1, "workers": 1, "slots": 1}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, not {value}")
        if not 0.5 <= self.confidence <= 0.999:
            raise ValueError(f"`confidence` must lie between 0.5 and 0.999, not {self.confidence}")


def check_settings(table: Mapping[str, Any], where: str, error: type[EvolveError]) -> None:
    """Raise `error` if a table of settings has an unknown key or a wrong type."""
    convert_table(table, Settings, where, error)


def merge_settings(*tables: tuple[str, Mapping[str, Any]]) -> Settings:
    """Merge tables into settings, later ones on top.

    Args:
        tables: pairs of a table's origin (for the message) and the table.

    Raises:
        UsageError: a key is unknown or a value has the wrong type.
    """
    merged: dict[str, Any] = {}
    for where, table in tables:
        check_settings(table, where, UsageError)
        merged = deep_merge(merged, table)
    settings = convert_table(merged, Settings, "settings", UsageError)
    check_whole(settings)
    return settings


def designs_by_model(settings: Settings) -> bool:
    """Return whether a model writes all or some candidates."""
    return settings.designer.name == "llm" or (settings.designer.name == "auto" and bool(settings.models))


def designs_by_command(settings: Settings) -> bool:
    """Return whether a program that edits a folder writes all or some candidates."""
    return settings.designer.name == "command"


def designs_freely(settings: Settings) -> bool:
    """Return whether a model or a command writes candidates: either reads what was learnt, and may write anything."""
    return designs_by_model(settings) or designs_by_command(settings)


def analyzes_by_model(settings: Settings) -> bool:
    """Return whether a model reports on nodes: if one is named for it, or if a model designs anyway."""
    analyzer = settings.roles.analyzer
    if not settings.models or analyzer in (RULES, NO_ANALYZER):
        return False
    return bool(analyzer) or designs_by_model(settings)


def check_whole(settings: Settings) -> None:
    """Raise UsageError for settings that contradict each other."""
    try:
        check_models(settings.models, settings.roles)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    try:
        check_bounds(settings.command.memory_mb, settings.command.processes)
    except ValueError as exc:
        raise UsageError(f"command: {exc}") from None
    if designs_by_command(settings) and not settings.command.run:
        raise UsageError(
            "the designer 'command' needs a program, and none is named",
            'Write [command] run = ["PROGRAM", "ARGUMENT", …] into config.toml, or use --set \'command.run=[…]\'',
        )
    retrieval = settings.retrieval
    if retrieval.embedder in ("endpoint", "sentence-transformers") and not retrieval.model:
        what = "model to ask it for" if retrieval.embedder == "endpoint" else "folder of its model"
        raise UsageError(f"retrieval.embedder is '{retrieval.embedder}', and retrieval.model does not name the {what}")


def parse_setting(text: str) -> dict[str, Any]:
    """Parse a setting of the command line, `sampler.c=0.2`, into a nested table; `sampler=greedy` names a sampler.

    Raises:
        UsageError: the text is not `key=value`.
    """
    table = parse_assignment(text, UsageError)
    return {key: {"name": value} if key in _NAMED and isinstance(value, str) else value for key, value in table.items()}


_NAMED = ("designer", "sampler", "executor")
"""Tables whose `name` may be given in place of the table."""
