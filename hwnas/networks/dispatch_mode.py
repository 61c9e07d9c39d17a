"""The base of hwnas's own dispatch modes."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class EagerDispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that PyTorch's compiler has nothing to do with.

    PyTorch hides the operators of a mode from its compiler unless the mode says otherwise. Doing so
    imports the compiler, over a CPU second in each process, and takes time for each operator.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
