"""The sampler and the objective of hwnas as an OptunaHub package."""

from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler

__all__ = ["HardwareAwareObjective", "HardwareAwareSampler"]
