"""Names of spaces, proxies, costs, runtimes and so on, found without importing them.

A component is one file plus one line here; other packages add theirs through the entry-point
groups ``hwnas.spaces``, ``hwnas.proxies``, ``hwnas.costs``, ``hwnas.runtimes``, ``hwnas.meters``,
``hwnas.strategies`` and ``hwnas.predictors``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from hwnas.errors import HwnasError, InvalidValueError, MissingDependencyError, unknown_name

Kind = Literal[
    "spaces", "proxies", "costs", "runtimes", "meters", "strategies", "hosts", "predictors"
]

BUILT_IN: Mapping[Kind, Mapping[str, str]] = {
    "spaces": {
        "nasbench201": "hwnas.spaces.nasbench201.space:NasBench201",
        "fbnet": "hwnas.spaces.fbnet:FBNet",
        "mobilenetv3": "hwnas.spaces.mobilenetv3:MobileNetV3",
        "mobilenetv2": "hwnas.spaces.mobilenetv2:MobileNetV2",
        "autoformer": "hwnas.spaces.autoformer:AutoFormer",
        "proxylessnas": "hwnas.spaces.proxylessnas:ProxylessNas",
        "resnet": "hwnas.spaces.resnet:ResNet",
        "timm": "hwnas.spaces.timm_space:TimmModels",
        "pit": "hwnas.spaces.pit:Pit",
        "nasbench101": "hwnas.spaces.nasbench101:NasBench101",
        "nds": "hwnas.spaces.nds.space:Nds",
        "natsbench-size": "hwnas.spaces.natsbench_size:NatsBenchSize",
        "nasbench-nlp": "hwnas.spaces.nasbench_nlp:NasBenchNlp",
        "nasbench-macro": "hwnas.spaces.nasbench_macro:NasBenchMacro",
        "transnasbench101-micro": "hwnas.spaces.transnasbench101.micro:TransNasMicro",
        "transnasbench101-macro": "hwnas.spaces.transnasbench101.macro:TransNasMacro",
    },
    "proxies": {
        "params": "hwnas.proxies.counts:Params",
        "flops": "hwnas.proxies.counts:Flops",
        "layers": "hwnas.proxies.counts:Layers",
        "synflow": "hwnas.proxies.synflow:SynFlow",
        "naswot": "hwnas.proxies.naswot:NasWot",
        "jacob_cov": "hwnas.proxies.jacob_cov:JacobCov",
        "zico": "hwnas.proxies.zico:ZiCo",
        "grad_norm": "hwnas.proxies.saliency:GradNorm",
        "snip": "hwnas.proxies.saliency:Snip",
        "plain": "hwnas.proxies.saliency:Plain",
        "fisher": "hwnas.proxies.saliency:Fisher",
        "l2_norm": "hwnas.proxies.saliency:L2Norm",
        "swap": "hwnas.proxies.linear_regions:Swap",
        "linear_regions": "hwnas.proxies.linear_regions:LinearRegions",
        "zen": "hwnas.proxies.zen:Zen",
        "meco": "hwnas.proxies.meco:MeCo",
        "epe_nas": "hwnas.proxies.epe_nas:EpeNas",
        "epsilon": "hwnas.proxies.epsilon:Epsilon",
        "gradsign": "hwnas.proxies.gradsign:GradSign",
        "grasp": "hwnas.proxies.grasp:Grasp",
        "ntk_cond": "hwnas.proxies.ntk:NtkCondition",
        "nn_mass": "hwnas.proxies.nn_mass:NnMass",
        "nn_degree": "hwnas.proxies.nn_mass:NnDegree",
        "te_nas_regions": "hwnas.proxies.te_nas:TeNasRegions",
        "te_nas_ntk": "hwnas.proxies.te_nas:TeNasNtk",
        "expressivity": "hwnas.proxies.aznas:Expressivity",
        "progressivity": "hwnas.proxies.aznas:Progressivity",
        "trainability": "hwnas.proxies.aznas:Trainability",
        "nasgraph_avg_degree": "hwnas.proxies.nasgraph:NasGraphAverageDegree",
        "nasgraph_density": "hwnas.proxies.nasgraph:NasGraphDensity",
        "nasgraph_resilience": "hwnas.proxies.nasgraph:NasGraphResilience",
        "nasgraph_wedge": "hwnas.proxies.nasgraph:NasGraphWedge",
        "vkdnw_entropy": "hwnas.proxies.vkdnw:VkdnwEntropy",
        "vkdnw": "hwnas.proxies.vkdnw:Vkdnw",
        "fim_decile": "hwnas.proxies.vkdnw:FimDecile",
        "intrain": "hwnas.proxies.intrain:InTrain",
        "dextr": "hwnas.proxies.dextr:Dextr",
        "wrcor": "hwnas.proxies.wrcor:WRCor",
        "apd": "hwnas.proxies.apd:Apd",
    },
    "costs": {
        "count": "hwnas.costs.counters:CounterSource",
        "hw-nas-bench": "hwnas.costs.hw_nas_bench:HwNasBenchSource",
        "help": "hwnas.costs.help:HelpSource",
        "brp-nas": "hwnas.costs.brp_nas:BrpNasSource",
        "timm": "hwnas.costs.timm_speed:TimmSpeed",
        "predictor": "hwnas.costs.predictor_source:PredictorSource",
        "table": "hwnas.costs.table_file:TableSource",
        "remote": "hwnas.costs.remote:RemoteSource",
    },
    "runtimes": {
        "onnxruntime": "hwnas.runtimes.onnxruntime_runtime:OnnxRuntime",
        "torch": "hwnas.runtimes.torch_runtime:TorchRuntime",
        "openvino": "hwnas.runtimes.openvino_runtime:OpenVino",
        "litert": "hwnas.runtimes.litert_runtime:LiteRt",
        "mnn": "hwnas.runtimes.mnn_runtime:MnnRuntime",
        "ncnn": "hwnas.runtimes.ncnn_runtime:NcnnRuntime",
        "tensorrt": "hwnas.runtimes.tensorrt_runtime:TensorRt",
    },
    "meters": {
        "events": "hwnas.meters.clocks:EventClock",
        "cpu": "hwnas.meters.clocks:ThreadClock",
        "wall": "hwnas.meters.clocks:WallClock",
        "jetson": "hwnas.meters.jetson:JetsonRail",
        "nvml": "hwnas.meters.nvml:Nvml",
        "rapl": "hwnas.meters.rapl:Rapl",
        "apple": "hwnas.meters.apple:AppleChip",
    },
    "strategies": {
        "random-search": "hwnas.strategies.random_search:RandomSearch",
        "predictor-guided": "hwnas.strategies.predictor_guided:PredictorGuided",
        "pareto-evolution": "hwnas.strategies.pareto_evolution:ParetoEvolution",
        "ageing-evolution": "hwnas.strategies.ageing_evolution:AgeingEvolution",
        "rank-evolution": "hwnas.strategies.rank_evolution:RankEvolution",
        "pareto-local-search": "hwnas.strategies.pareto_local_search:ParetoLocalSearch",
    },
    "hosts": {
        "optuna": "hwnas_optuna.search:OptunaHost",
        "nni": "hwnas_nni.results:NniHost",
    },
    "predictors": {
        "transfer": "hwnas_predictors.transfer:TransferPredictor",
        "brp-nas": "hwnas_predictors.brp_nas:GcnPredictor",
        "mlp": "hwnas_predictors.brp_nas:MlpPredictor",
        "brp-nas-relation": "hwnas_predictors.binary_relation:BinaryRelationPredictor",
        "help": "hwnas_predictors.help:HelpPredictor",
        "kernels": "hwnas_predictors.kernels.predictor:KernelPredictor",
    },
}

EXTRAS: Mapping[str, str] = {
    "openvino": "openvino", "ai_edge_litert": "litert", "MNN": "mnn", "ncnn": "ncnn",
    "pnnx": "ncnn",
}  # fmt: skip
"""Packages of optional components, and the extra that installs each."""
ROLES: Mapping[Kind, tuple[str, str]] = {
    "spaces": ("hwnas.typing:SearchSpace", "SearchSpaceContract"),
    "proxies": ("hwnas.typing:Proxy", "ProxyContract"),
    "runtimes": ("hwnas.runtimes.base:Runtime", "RuntimeContract"),
    "meters": ("hwnas.meters.base:Meter", "MeterContract"),
    "strategies": ("hwnas.strategies.history:Proposer", "StrategyContract"),
}
"""What a component of another package must have, and what of `hwnas.testing` tests it."""
_SINGULAR: Mapping[Kind, str] = {
    "spaces": "space",
    "proxies": "proxy",
    "costs": "cost",
    "runtimes": "runtime",
    "meters": "meter",
    "strategies": "strategy",
    "hosts": "host",
    "predictors": "predictor",
}


@cache
def targets(kind: Kind) -> Mapping[str, str]:
    """Give ``name -> "module:attribute"`` of a kind, built-in names before other packages'."""
    found = {point.name: point.value for point in entry_points(group=f"hwnas.{kind}")}
    return {**BUILT_IN[kind], **{k: v for k, v in found.items() if k not in BUILT_IN[kind]}}


def names(kind: Kind) -> list[str]:
    """List the names of a kind in a fixed order."""
    return list(targets(kind))


def load(kind: Kind, name: str) -> Any:
    """Import what a name stands for.

    Raises:
        UnknownNameError: the name is in no table.
        MissingDependencyError: the module needs a package that is not installed.
        InvalidValueError: importing it of another package raises.
    """
    table = targets(kind)
    if name not in table:
        raise unknown_name(_SINGULAR[kind], name, table)
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        what = f"'hwnas[{EXTRAS[package]}]'" if package in EXTRAS else "it"
        raise MissingDependencyError(
            f"`{_SINGULAR[kind]}` {name!r} needs the package {error.name!r}, which is not "
            f"installed: pip install {what}."
        ) from error
    except Exception as error:
        if name in BUILT_IN[kind]:
            raise
        raise _unfit(kind, name, f"importing it raised {_reason(error)}") from error


def make(kind: Kind, name: str, *args: Any, **settings: Any) -> Any:
    """Make what a name stands for.

    Args:
        kind: table.
        name: name in it.
        args: what every component of this kind is made from.
        settings: the component's own settings.

    Raises:
        UnknownNameError: the name is in no table.
        InvalidValueError: the component has no such setting, or refuses its value; one of another
            package raises, or lacks what its role has.
    """
    factory = load(kind, name)
    if name in BUILT_IN[kind]:
        return make_of(factory, _SINGULAR[kind], name, *args, **settings)
    try:
        made = make_of(factory, _SINGULAR[kind], name, *args, **settings)
    except HwnasError:
        raise
    except Exception as error:
        raise _unfit(kind, name, f"making it raised {_reason(error)}") from error
    if kind in ROLES:
        lacking = [member for member in _members(ROLES[kind][0]) if not _has(made, member)]
        if lacking:
            raise _unfit(kind, name, f"it has no {', '.join(lacking)}")
    ways = ("maximize", "minimize")
    if kind == "proxies" and made.direction not in ways:
        raise _unfit(kind, name, f"its direction is {made.direction!r}, not {' or '.join(ways)}")
    return made


def _unfit(kind: Kind, name: str, why: str) -> InvalidValueError:
    tested = f" as hwnas.testing.{ROLES[kind][1]} tests" if kind in ROLES else ""
    return InvalidValueError(
        f"`{_SINGULAR[kind]}` {name!r} must be one{tested}, but {why}: mend or uninstall the "
        f"package of {targets(kind)[name]}."
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _members(role: str) -> list[str]:
    """Name what a protocol asks for, in the order of its lines."""
    module, _, attribute = role.partition(":")
    protocol = getattr(importlib.import_module(module), attribute)
    return [name for name in vars(protocol) if not name.startswith("_")]


def _has(made: Any, member: str) -> bool:
    """Tell whether it has a member, without working out a property."""
    missing = object()
    return inspect.getattr_static(made, member, missing) is not missing or hasattr(made, member)


def make_of(factory: Any, kind: str, name: str, *args: Any, **settings: Any) -> Any:
    """Make what a factory of another table makes; as `make`, with `kind` as text."""
    signature = inspect.signature(factory)
    try:
        signature.bind(*args, **settings)
    except TypeError as error:
        if not settings:
            raise
        own = ", ".join([*signature.parameters][len(args) :]) or "it has none"
        raise InvalidValueError(
            f"`settings` of {kind} {name!r} must be its own ({own}), but got {settings}: {error}."
        ) from error
    try:
        return factory(*args, **settings)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidValueError) or not settings:
            raise
        raise InvalidValueError(
            f"`settings` of {kind} {name!r} must have values that fit, but got {settings}: {error}."
        ) from error
