"""Execution providers of ONNX Runtime: which there are, their options, what each ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hwnas.errors import InvalidValueError, unknown_name

_SUFFIX = "ExecutionProvider"
# Azure's provider sends inputs to a server: nothing of it runs here.
_REMOTE = frozenset({"azure"})
RECORD_PLACES = ("session.record_ep_graph_assignment_info", "1")
"""Entry of a session's configuration that makes it remember which provider has which node."""
OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cuda": {
        "use_tf32": ("0", "1"),
        "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
        "prefer_nhwc": ("0", "1"),
    },
    "tensorrt": {
        "trt_builder_optimization_level": ("3", "0", "1", "2", "4", "5"),
        "trt_cuda_graph_enable": ("0", "1"),
    },
    "openvino": {"device_type": ("CPU", "GPU", "NPU")},
    "coreml": {
        "ModelFormat": ("NeuralNetwork", "MLProgram"),
        "MLComputeUnits": ("ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine"),
    },
    "qnn": {
        "backend_type": ("htp", "gpu", "cpu"),
        "htp_performance_mode": ("default", "burst", "balanced", "power_saver"),
    },
}
"""Options of providers: what each may be, the default first, which is always passed on."""


def available_providers() -> dict[str, str]:
    """Give the execution providers of this installation: short name to ONNX Runtime's name."""
    import onnxruntime

    full = onnxruntime.get_available_providers()
    short = {name.removesuffix(_SUFFIX).lower(): name for name in full}
    # CPU first: it is the default and always there.
    return dict(sorted(((s, f) for s, f in short.items() if s not in _REMOTE),
                       key=lambda item: item[0] != "cpu"))  # fmt: skip


def provider_name(provider: str) -> str:
    """Give ONNX Runtime's name of a provider, from it or its short form.

    Raises:
        UnknownNameError: this installation does not have it; lists those it has.
    """
    known = available_providers()
    short = provider.removesuffix(_SUFFIX).lower()
    if short not in known:
        raise unknown_name("provider", provider, known)
    return known[short]


def provider_settings(provider: str, threads: int) -> dict[str, str]:
    """Give what is passed to a provider unless the user says otherwise.

    TF32 is off, since it is no float32; threads are those of the session.
    """
    short = provider.removesuffix(_SUFFIX).lower()
    settings = {name: choices[0] for name, choices in OPTIONS.get(short, {}).items()}
    own_threads = {"openvino": "num_of_threads", "xnnpack": "intra_op_num_threads"}
    return settings | ({own_threads[short]: str(threads)} if short in own_threads else {})


def own_options(provider: str, options: Mapping[str, str]) -> dict[str, str]:
    """Give those of the runtime's options that are this provider's.

    Raises:
        InvalidValueError: one is another provider's.
    """
    short = provider.removesuffix(_SUFFIX).lower()
    for owner, names in OPTIONS.items():
        for name in names:
            if name in options and owner != short:
                raise InvalidValueError(
                    f"`{name}` must be given with the provider {owner}, whose option it is, but "
                    f"got {provider!r}: leave it out."
                )
    return {name: options[name] for name in OPTIONS.get(short, {}) if name in options}


def check_places(session: Any, provider: str, allowed: bool) -> dict[str, str]:
    """Insist that every node runs on the provider, or say which share does not.

    Args:
        session: of which ONNX Runtime tells the provider of each node.
        provider: the one that was asked for.
        allowed: whether others may run a part.

    Returns:
        What to tell of it: nothing where every node is where it should be.

    Raises:
        InvalidValueError: others run a part and must not.
    """
    name = provider_name(provider)
    if name == provider_name("cpu"):
        return {}
    if not hasattr(session, "get_provider_graph_assignment_info"):
        if allowed:
            return {"fallback_share": "unknown"}
        raise InvalidValueError(
            f"`provider` {provider!r} must tell which nodes it runs, but this ONNX Runtime is "
            f"older than 1.24: upgrade it, or allow whatever happens by fallback=allow."
        )
    nodes = Counter[tuple[str, str]]()
    for part in session.get_provider_graph_assignment_info():
        nodes.update((str(part.ep_name), str(node.op_type)) for node in part.get_nodes())
    elsewhere = {key: n for key, n in nodes.items() if key[0] != name}
    if not elsewhere:
        return {}
    share = sum(elsewhere.values()) / sum(nodes.values())
    listed = ", ".join(f"{n} {operator} on {ep}" for (ep, operator), n in elsewhere.items())
    if not allowed:
        raise InvalidValueError(
            f"`provider` {provider!r} must run every node, but {100 * share:.0f} % of them run "
            f"elsewhere ({listed}): allow it by fallback=allow, or choose another provider."
        )
    return {"fallback_share": f"{share:.4g}", "fallback_nodes": listed}
