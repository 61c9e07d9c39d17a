"""Hardware-aware, training-free neural architecture search.

What stands here is imported when it is first used: `import hwnas` itself imports no PyTorch. What
does not stand here is private, or documented where it is.

Example:
    A score and a latency of a network, as in an objective of one's own:

    >>> import hwnas
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(7))
    >>> score = hwnas.score(network, (1, 8, 8), "naswot")["naswot"]
    >>> latency = hwnas.profile(network, (1, 8, 8), max_seconds=0.05).latency_ms
    >>> score > 0, latency > 0
    (True, True)
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version

__version__ = _version("hwnas")

# The stub `__init__.pyi` has the same names for type checkers and editors; a test compares them.
_MODULES = {
    "hwnas.errors": (
        "DataFormatError",
        "DataNotFoundError",
        "HwnasError",
        "InvalidArchitectureError",
        "InvalidValueError",
        "MissingDependencyError",
        "ProxyError",
        "UnknownNameError",
    ),
    "hwnas.functions.baseline": ("with_baseline",),
    "hwnas.functions.profile": ("Profile", "profile"),
    "hwnas.functions.rank": ("Rankings", "rank"),
    "hwnas.functions.score": ("Scores", "score"),
    "hwnas.functions.search": ("search",),
    "hwnas.networks.joined": ("JoinedInputs",),
    "hwnas.pareto": ("Baseline", "Member", "ObjectiveInfo", "ParetoSet"),
    "hwnas.spaces.fbnet": ("FBNet",),
    "hwnas.spaces.functions": ("FunctionSpace",),
    "hwnas.spaces.mobilenetv3": ("MobileNetV3",),
    "hwnas.spaces.nasbench201": ("NasBench201",),
    "hwnas.spaces.space_text": ("named_space",),
    "hwnas.tasks.catalogue": ("get_task",),
    "hwnas.tasks.task": (
        "AllOutputs",
        "Logits",
        "Map",
        "NextToken",
        "Regression",
        "RegressionMap",
        "Task",
        "TensorSpec",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """List what is public."""
    return sorted(__all__)
