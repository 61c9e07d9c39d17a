"""One of several models: a choice of functions, classes and timm's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError, MissingDependencyError
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
            return timm_model(model, trial)
        built: nn.Module = model(trial.under(name)) if takes_argument(model) else model()
        return built


def timm_model(name: str, trial: Trial) -> nn.Module:
    """Build a model of timm, untrained, for the channels and classes of the trial's task.

    Models that are made for one size of images, such as vision transformers, get that of the task.

    Raises:
        MissingDependencyError: timm is not installed.
        InvalidValueError: timm has no such model.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"`{name}` is a model of timm, which is not installed: pip install 'hwnas[timm]'."
        ) from None
    except Exception as error:  # e.g. of torchvision, which has to be of the same build as torch
        raise MissingDependencyError(
            f"`{name}` is a model of timm, which cannot be imported ({error}): torchvision must be "
            f"of the same build as torch, e.g. both from https://download.pytorch.org/whl/cpu."
        ) from error
    if not timm.is_model(name.partition(".")[0]):
        raise InvalidValueError(f"`models` must be names of timm.list_models(), but got {name!r}.")
    wanted = {"num_classes": trial.classes, "in_chans": trial.input[0], "pretrained": False}
    try:
        model: nn.Module = timm.create_model(name, **wanted, img_size=trial.input[1:])
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(name, **wanted)
    return model


def _name(model: Any) -> str:
    return model if isinstance(model, str) else str(getattr(model, "__name__", type(model)))
