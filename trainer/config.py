"""What a training run is: every hyperparameter with its meaning, validated."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from smartgrid_core.errors import ConfigError


class TrainConfig(BaseModel):
    """Hyperparameters of a run; the scenario has its own configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    algorithm: Literal["ippo"] = "ippo"
    """Learner: ippo trains one actor and one critic per prosumer."""
    seed: int = Field(default=0, ge=0)
    """Seed of networks, exploration and grids."""
    device: str = "auto"
    """torch device; auto takes cuda where there is one."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 keeps torch's choice."""
    compile: bool = False
    """Run the simulator's step through torch.compile; pays off in long runs."""

    num_grids: PositiveInt = 256
    """Communities simulated in parallel."""
    horizon: PositiveInt = 32
    """Decisions per grid and iteration."""
    hold_h: PositiveFloat = 1.0
    """Hours an action is held; longer holds make exploration consistent and episodes short in decisions."""
    iterations: PositiveInt = 400
    """Updates of the policy; the learning rate is annealed over them."""
    max_minutes: PositiveFloat | None = None
    """Wall-clock limit; the learning rate is annealed over it if it ends the run first."""

    gamma: float = Field(default=0.995, gt=0, lt=1)
    """Discount per decision."""
    lmbda: float = Field(default=0.8, ge=0, le=1)
    """λ of the generalised advantage estimate (Schulman et al. 2016, arXiv:1506.02438)."""
    epochs: PositiveInt = 4
    """Passes over each batch."""
    minibatches: PositiveInt = 8
    """Minibatches per pass."""
    learning_rate: PositiveFloat = 3e-3
    """Adam step size at the start."""
    final_learning_rate: float = Field(default=0.05, ge=0, le=1)
    """Fraction of the step size left at the end (linear)."""
    clip_epsilon: PositiveFloat = 0.2
    """Clip range of the likelihood ratio (Schulman et al. 2017, arXiv:1707.06347)."""
    entropy_coeff: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus."""
    critic_coeff: PositiveFloat = 1.0
    """Weight of the value loss."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradient norm limit, for each prosumer on its own so that learners stay independent."""
    target_kl: PositiveFloat = 0.03
    """Epochs stop for an iteration once the mean approximate KL divergence exceeds this."""
    initial_std: PositiveFloat = 0.3
    """Standard deviation of exploration at the start, in action units."""
    hidden: tuple[PositiveInt, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""

    shaping_eur_per_kwh: float = Field(default=0.2, ge=0)
    """Potential-based shaping Φ = this × SoC (Ng et al. 1999): makes the value of stored energy immediate."""
    baseline: bool = True
    """Add the cost a prosumer without battery and neighbours would have had: less variance, same optimum."""

    validations: PositiveInt = 10
    """Validations, evenly spread over the run; each writes a checkpoint."""
    validation_episodes: PositiveInt = 16
    """Episodes of each validation; the best policy on them becomes `best`."""
    keep_checkpoints: int = Field(default=3, ge=0)
    """Numbered checkpoints kept beside `last` and `best`."""


def load_train_config(device: str, overrides: dict[str, Any]) -> TrainConfig:
    """The committed configuration for a device (configs/cpu.toml, configs/cuda.toml) with overrides.

    Raises:
        ConfigError: a field with a wrong value.
    """
    folder = Path(str(files("trainer"))) / "configs"
    preset = folder / ("cuda.toml" if device.startswith("cuda") else "cpu.toml")
    data = {**tomllib.loads(preset.read_text(encoding="utf-8")), "device": device, **overrides}
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))} = {e.get('input')!r}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"training configuration:\n{faults}") from None
