"""Where batch scoring runs: processes of this machine, a ray cluster or a dask cluster.

All three are backends of joblib; hwnas has no scheduler of its own. A cluster's machines must have
the same hwnas and torch installed.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import joblib
from joblib._parallel_backends import LokyBackend

from hwnas.errors import InvalidValueError, MissingDependencyError, unknown_name

_TIMEOUT_SECONDS = 30
_ROUND = 8
"""Architectures a worker process between two looks at results that come in rounds."""


@contextmanager
def parallel_backend(name: str, jobs: int = 1, cluster: str | None = None) -> Iterator[None]:
    """Run everything that is scored within the context on a backend.

    Args:
        name: ``loky`` for processes here, ``ray`` or ``dask``.
        jobs: worker processes of a cluster that is started here; -1 for one a core.
        cluster: address of a running cluster, e.g. ``tcp://host:8786`` (dask) or ``host:6379`` and
            ``auto`` (ray); None starts one on this machine and stops it in the end.

    Raises:
        UnknownNameError: no such backend.
        InvalidValueError: `jobs` is 0, or 1 with ray or dask; the cluster cannot be reached, or
            ``loky`` was given one.
        MissingDependencyError: the backend's package is not installed.
    """
    if name not in _BACKENDS:
        raise unknown_name("backend", name, _BACKENDS)
    if jobs == 0 or (jobs == 1 and name != "loky"):
        least = "not be 0" if jobs == 0 else f"be more than 1 with the backend {name}"
        raise InvalidValueError(f"`jobs` must {least}, but got {jobs}: -1 stands for all cores.")
    with _BACKENDS[name](joblib.cpu_count() if jobs < 0 else jobs, cluster):
        yield


@contextmanager
def _loky(jobs: int, cluster: str | None) -> Iterator[None]:
    del jobs
    if cluster is not None:
        raise InvalidValueError(
            f"`cluster` must be left out with the backend loky, but got {cluster!r}: use ray or "
            f"dask."
        )
    with joblib.parallel_config("loky"):
        yield


@contextmanager
def _ray(jobs: int, cluster: str | None) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise _missing("ray") from error
    # Ray reports each start to its makers unless it is told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster is None:
        settings |= {"num_cpus": jobs, "include_dashboard": False}
    try:
        _insist_on_answer(cluster)
        ray.init(address=cluster or "local", **settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreachable("ray", cluster, error) from error
    try:
        register_ray()
        logging.getLogger("ray.util.multiprocessing.pool").setLevel("ERROR")
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


@contextmanager
def _dask(jobs: int, cluster: str | None) -> Iterator[None]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise _missing("dask") from error
    if cluster is None:
        local = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
        with local, Client(local), joblib.parallel_config("dask"):
            yield
        return
    try:
        client = Client(cluster, timeout=_TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        raise _unreachable("dask", cluster, error) from error
    with client, joblib.parallel_config("dask"):
        yield


_BACKENDS: Mapping[str, Callable[[int, str | None], AbstractContextManager[None]]] = {
    "loky": _loky,
    "ray": _ray,
    "dask": _dask,
}


def _insist_on_answer(cluster: str | None) -> None:
    """Knock at ``HOST:PORT``: ray itself tries in vain for ten minutes and more."""
    host, _, port = (cluster or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.rpartition("/")[2], int(port)), _TIMEOUT_SECONDS).close()


def _missing(name: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"`backend` {name!r} needs a package that is not installed: pip install 'hwnas[{name}]'."
    )


def _unreachable(name: str, cluster: str | None, error: Exception) -> InvalidValueError:
    reason = str(error).strip().partition("\n")[0]
    return InvalidValueError(
        f"`cluster` must be the address of a running {name} cluster, but got {cluster!r} "
        f"({reason})."
    )


def is_local() -> bool:
    """Tell whether worker processes are this process's own children."""
    backend, _ = joblib.parallel.get_active_backend()
    return isinstance(backend, LokyBackend)


def in_parallel(calls: list[Any], jobs: int) -> Iterator[Any]:
    """Give results as they are finished, or in small rounds where the backend waits for all."""
    backend, _ = joblib.parallel.get_active_backend()
    if backend.supports_return_generator:
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
        return
    # Ray's pool. What is finished when a run is interrupted must not be lost.
    step = _ROUND * joblib.effective_n_jobs(jobs)
    with joblib.Parallel(n_jobs=jobs) as parallel:
        for start in range(0, len(calls), step):
            yield from parallel(calls[start : start + step])
