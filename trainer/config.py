"""What a training run is: every hyperparameter with its meaning, validated."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from smartgrid_core.errors import ConfigError, InvalidConfigError
from smartgrid_core.faults import faults

Algorithm = Literal["ippo", "mappo", "qmix", "shac"]
PRESET_AGENTS = 16  # prosumers up to which the presets are used as they are
FEWEST = 4  # what a preset shrinks to at most
COUNTED_IN_COMMUNITIES = ("num_grids", "qmix.replay", "qmix.batch", "shac.critic_batch")
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


class _Settings(BaseModel):
    """Strict, frozen, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class PpoConfig(_Settings):
    """What ippo and mappo add: clipped policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    epochs: PositiveInt = 4
    """Passes over each batch."""
    minibatches: PositiveInt = 8
    """Minibatches per pass."""
    clip_epsilon: PositiveFloat = 0.2
    """Clip range of the likelihood ratio."""
    entropy_coeff: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus."""
    critic_coeff: PositiveFloat = 1.0
    """Weight of the value loss."""
    target_kl: PositiveFloat = 0.03
    """Limit of each learner's approximate KL divergence: beyond it, its epochs of an iteration end and its step size
    shrinks by a third; where the last epoch stays below half of it, the step size grows again, to `learning_rate` at
    most. With `share_parameters` there is one learner, and the mean over prosumers counts."""
    credit: Literal["own", "neighbours", "team"] = "own"
    """What an actor is credited with: the advantage for its own prosumer's rewards, or also, in EUR, that of those it
    is linked to, or of all. More of them hold more of what the actor causes, and more noise of others' exploration."""
    initial_std: float = Field(default=0.3, ge=0.02, le=1.6)
    """Standard deviation of exploration at the start, in action units; it stays between 0.018 and 1.65."""


Decay = Annotated[float, Field(ge=0, lt=1)]


class ShacConfig(_Settings):
    """What shac adds: gradients through the simulator (Xu et al. 2022, arXiv:2204.07137)."""

    critic_learning_rate: PositiveFloat = 1e-2
    """Adam step size of the critics at the start; annealed like the actors'."""
    critic_minibatches: PositiveInt = 4
    """Critic updates per iteration."""
    critic_batch: PositiveInt = 1024
    """Decisions in a critic update; all of the iteration's where it has no more."""
    adam_betas: tuple[Decay, Decay] = (0.7, 0.95)
    """Adam's decay rates; short memory, as in the paper, because the gradient is exact and its scene changes."""


class QmixConfig(_Settings):
    """What qmix adds: joint values as a monotonic mix of agents' values (Rashid et al. 2018, arXiv:1803.11485)."""

    levels: int = Field(default=9, ge=3, le=255)
    """Values that an entry of an action can take, evenly from -1 to 1; an odd number, so that 0 is one of them."""
    replay: PositiveInt = 40_000
    """Decisions of a community kept for replay; the oldest go first."""
    batch: PositiveInt = 256
    """Decisions in an update."""
    updates: PositiveInt = 8
    """Updates per iteration."""
    target_rate: float = Field(default=0.02, gt=0, le=1)
    """How far the target networks move to the trained ones after each update (Polyak averaging)."""
    mixing: PositiveInt = 32
    """Width of the mixing network."""
    epsilon_start: float = Field(default=1.0, ge=0, le=1)
    """Probability that an entry of an action is random at the start."""
    epsilon_end: float = Field(default=0.05, ge=0, le=1)
    """The same once exploration has ended."""
    epsilon_until: float = Field(default=0.4, gt=0, le=1)
    """Part of the run over which exploration shrinks (linear)."""

    def epsilon(self, progress: float) -> float:
        """Probability that an entry of an action is random at a fraction of the run done."""
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * min(1.0, progress / self.epsilon_until)

    @field_validator("levels")
    @classmethod
    def _with_zero(cls, levels: int) -> int:
        if levels % 2 == 0:
            raise ValueError("expected an odd number, so that 0 is a level")
        return levels


class TrainConfig(_Settings):
    """Hyperparameters of a run; the scenario has its own configuration."""

    algorithm: Algorithm = "ippo"
    """Learner: ippo (own actor and critic each), mappo (critics see all), qmix (mixed values of
    actions in levels), shac (gradients through the simulator)."""
    share_parameters: bool = False
    """One network for all prosumers, told apart by their index: for large or homogeneous communities."""
    seed: int = Field(default=0, ge=0, lt=2**62)
    """Seed of networks, exploration and grids."""
    device: str = "auto"
    """torch device; auto takes cuda where there is one."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads; 0 keeps torch's choice."""
    warm_start: str | None = None
    """Run folder, checkpoint or shipped policy whose actors this run begins with; None: drawn weights."""
    compile: bool = False
    """Compile the simulator's step, on a CPU to one pass in C++ (`smartgrid_core.compiled`); pays off in long runs."""

    num_grids: PositiveInt = 256
    """Communities simulated in parallel, by each process where torchrun starts several."""
    horizon: PositiveInt = 32
    """Decisions per grid and iteration."""
    hold_h: PositiveFloat = 1.0
    """Hours an action is held, a multiple of a step; long ones explore consistently, in few decisions an episode."""
    iterations: PositiveInt = 400
    """Updates of the policy; the learning rate is annealed over them."""
    max_minutes: PositiveFloat | None = None
    """Limit of time; the learning rate is annealed over it if it ends the run first."""
    clock: Literal["wall", "cpu"] = "wall"
    """What time is: the wall's, or the CPU time of the process, all threads, which other work does not stretch."""

    gamma: float = Field(default=0.995, gt=0, lt=1)
    """Discount per decision."""
    lmbda: float = Field(default=0.8, ge=0, le=1)
    """λ of the generalised advantage estimate and of value targets (Schulman et al. 2016, arXiv:1506.02438)."""
    learning_rate: PositiveFloat = 3e-3
    """Adam step size at the start."""
    final_learning_rate: float = Field(default=0.05, ge=0, le=1)
    """Fraction of the step size left at the end (linear)."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradient norm limit, for each prosumer on its own so that learners stay independent."""
    hidden: tuple[PositiveInt, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""

    shaping_eur_per_kwh: float = Field(default=0.2, ge=0)
    """Shaping by the potential Φ = this × SoC (Ng et al. 1999): makes the value of stored energy immediate.
    Undiscounted but in shac, so it also adds (1 − gamma)·Φ a decision, for what a discount of hours undervalues."""
    baseline: bool = True
    """Add the cost a prosumer without battery and neighbours would have had: less variance, same optimum."""

    ppo: PpoConfig = PpoConfig()
    """Settings of ippo and mappo."""
    shac: ShacConfig = ShacConfig()
    """Settings of shac."""
    qmix: QmixConfig = QmixConfig()
    """Settings of qmix."""

    validations: PositiveInt = 10
    """Validations, evenly spread over the run; each writes a checkpoint."""
    validation_episodes: PositiveInt = 16
    """Episodes of each validation; the best policy on them becomes `best`."""
    patience: int = Field(default=0, ge=0)
    """Validations without a better score after which the run ends before its time; 0: never."""
    keep_checkpoints: int = Field(default=3, ge=0)
    """Numbered checkpoints kept beside `last`, `previous` and `best`."""
    checkpoint_minutes: PositiveFloat = 10.0
    """Minutes of training, by `clock`, after which `last` is written between validations too."""

    def progress(self, iteration: int, seconds: float) -> float:
        """Fraction of the run done after so many iterations and seconds, whichever is further."""
        by_time = seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(iteration / self.iterations, by_time))

    def on_plateau(self, stale: int) -> bool:
        """Whether `stale` validations without a better score end the run."""
        return 0 < self.patience <= stale

    def is_over(self, iteration: int, seconds: float, stale: int) -> bool:
        """Whether a run that stands there has nothing left to do."""
        return self.progress(iteration, seconds) >= 1.0 or self.on_plateau(stale)

    def what_is_over(self, iteration: int, seconds: float, stale: int) -> str:
        """Why a run that stands there has nothing left to do, and what would give it more; "" where it has."""
        reasons = []
        if iteration >= self.iterations:
            reasons.append(f"{iteration} of {self.iterations} iterations are done; give a larger --iterations")
        if self.max_minutes and seconds >= 60 * self.max_minutes:
            used = f"{seconds / 60:.2f} of {self.max_minutes:g} minutes are used"
            reasons.append(f"{used}; give a larger --max_minutes")
        if self.on_plateau(stale):
            reasons.append(f"no better score in {stale} validations; give a larger --patience, or 0")
        return ", and ".join(reasons)

    def annealed(self, progress: float) -> float:
        """Factor on step sizes at a fraction of the run done."""
        return 1 - (1 - self.final_learning_rate) * progress


def load_train_config(device: str, overrides: dict[str, Any]) -> TrainConfig:
    """The committed configuration of an algorithm on a kind of device, with overrides.

    configs/ALGORITHM.toml holds what is common, its tables [cpu] and [cuda] the rest.

    Args:
        device: a torch device.
        overrides: fields by name, nested ones by path ("ppo.epochs"); `algorithm` chooses the file.

    Raises:
        ConfigError: a field with a wrong value, or no such algorithm.
    """
    algorithm = overrides.get("algorithm", "ippo")
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"algorithm = {algorithm!r}: expected one of {', '.join(ALGORITHMS)}")
    preset = Path(str(files("trainer"))) / "configs" / f"{algorithm}.toml"
    data = tomllib.loads(preset.read_text(encoding="utf-8"))
    kinds = {kind: data.pop(kind, {}) for kind in ("cpu", "cuda")}
    data = _merged(data, kinds["cuda" if device.startswith("cuda") else "cpu"])
    for path, value in ({"algorithm": algorithm, "device": device} | overrides).items():
        data = _merged(data, _nested(path, value))
    return validated(data)


def overridden(config: TrainConfig, overrides: dict[str, Any]) -> TrainConfig:
    """A configuration with some fields, given by path, changed.

    Raises:
        ConfigError: a field with a wrong value.
    """
    data = config.model_dump()
    for path, value in overrides.items():
        data = _merged(data, _nested(path, value))
    return validated(data)


def validated(data: dict[str, Any], where: str = "training configuration") -> TrainConfig:
    """The configuration that plain data stand for.

    Raises:
        ConfigError: fields with wrong values, a line each.
    """
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        found = faults(error, TrainConfig)
        raise InvalidConfigError(f"{where}:\n" + "\n".join(f"  {text}" for _, text in found), found) from None


def check_batch(config: TrainConfig) -> None:
    """Refuse an iteration too short to learn from.

    Raises:
        ConfigError: a single decision, which has no spread, or fewer decisions than minibatches.
    """
    decisions = config.num_grids * config.horizon
    takes = f"num_grids = {config.num_grids} times horizon = {config.horizon} makes {decisions} decisions an iteration"
    if config.algorithm in ("ippo", "mappo") and decisions < config.ppo.minibatches:
        raise ConfigError(
            f"{takes}, fewer than ppo.minibatches = {config.ppo.minibatches}: raise one of the first two, or lower "
            f"--ppo.minibatches to at most {decisions}"
        )
    if decisions < 2:
        raise ConfigError(f"{takes}, whose spread is the unit of rewards and inputs: raise one of the two")


def scaled_to(config: TrainConfig, num_agents: int, given: Collection[str]) -> TrainConfig:
    """A preset for a community of N prosumers: beyond 16, what is counted in communities shrinks in proportion.

    An iteration so has as many decisions of prosumers, and needs as much memory, as that of 16.

    Args:
        config: as `load_train_config` makes it.
        given: paths of the fields the user set; they stay.
    """
    share = min(1.0, PRESET_AGENTS / num_agents)
    for path in COUNTED_IN_COMMUNITIES if share < 1 else ():
        if path not in given:
            *table, field = path.split(".")
            part = getattr(config, table[0]) if table else config
            part = part.model_copy(update={field: max(FEWEST, round(getattr(part, field) * share))})
            config = config.model_copy(update={table[0]: part}) if table else part
    return config


def _nested(path: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} of "a.b"."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `over`, table by table."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out
