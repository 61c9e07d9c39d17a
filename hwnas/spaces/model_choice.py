"""One of several models: a choice of functions, classes and timm's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError
from hwnas.spaces.timm_models import timm_model
from hwnas.spaces.trial import Trial, takes_argument

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelChoice:
    """A function of a trial that builds one of several models.

    Attributes:
        models: what makes each, by name: a callable without arguments, or of a trial; or the name
            of a model in timm, which gets the channels and classes of the task.
    """

    models: Mapping[str, Any]

    @classmethod
    def of(cls, models: Sequence[Any] | Mapping[str, Any], target: str) -> ModelChoice:
        """Name models that are listed: timm's by their own name, others by theirs.

        Args:
            models: the models.
            target: what they are called together, for errors.

        Raises:
            InvalidValueError: there is none, two have one name, or one is no model.
        """
        from torch import nn

        if isinstance(models, Mapping):
            named = {str(name): model for name, model in models.items()}
        else:
            pairs = [(_name(model), model) for model in models]
            named = dict(pairs)
            if len(named) < len(pairs):
                raise InvalidValueError(
                    f"`{target}` must list models of different names, but got "
                    f"{', '.join(name for name, _ in pairs)}: give a dictionary."
                )
        wrong = [
            name
            for name, m in named.items()
            if isinstance(m, nn.Module) or not (callable(m) or isinstance(m, str))
        ]
        if not named or wrong:
            raise InvalidValueError(
                f"`{target}` must list functions or classes that give networks, or names of timm, "
                f"but got {wrong or 'none'}."
            )
        return cls(named)

    def __call__(self, trial: Trial) -> nn.Module:
        """Choose a model, and build it."""
        name = trial.suggest_categorical("model", list(self.models))
        model = self.models[name]
        if isinstance(model, str):
            return timm_model(model, trial.classes, trial.input)
        built: nn.Module = model(trial.under(name)) if takes_argument(model) else model()
        return built


def _name(model: Any) -> str:
    return model if isinstance(model, str) else str(getattr(model, "__name__", type(model)))
