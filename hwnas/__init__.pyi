from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    HwnasError,
    InvalidArchitectureError,
    InvalidValueError,
    MissingDependencyError,
    ProxyError,
    UnknownNameError,
)
from hwnas.functions.baseline import with_baseline
from hwnas.functions.profile import Profile, profile
from hwnas.functions.rank import Rankings, rank
from hwnas.functions.score import Scores, score
from hwnas.functions.search import search
from hwnas.networks.joined import JoinedInputs
from hwnas.pareto import Baseline, Member, ObjectiveInfo, ParetoSet
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import named_space
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import (
    AllOutputs,
    Logits,
    Map,
    NextToken,
    Regression,
    RegressionMap,
    Task,
    TensorSpec,
)

__version__: str
__all__ = [
    "AllOutputs",
    "Baseline",
    "DataFormatError",
    "DataNotFoundError",
    "FBNet",
    "FunctionSpace",
    "HwnasError",
    "InvalidArchitectureError",
    "InvalidValueError",
    "JoinedInputs",
    "Logits",
    "Map",
    "Member",
    "MissingDependencyError",
    "MobileNetV3",
    "NasBench201",
    "NextToken",
    "ObjectiveInfo",
    "ParetoSet",
    "Profile",
    "ProxyError",
    "Rankings",
    "Regression",
    "RegressionMap",
    "Scores",
    "Task",
    "TensorSpec",
    "UnknownNameError",
    "__version__",
    "get_task",
    "named_space",
    "profile",
    "rank",
    "score",
    "search",
    "with_baseline",
]
