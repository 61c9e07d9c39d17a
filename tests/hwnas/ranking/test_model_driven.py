from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from hwnas.data.nasbench201 import accuracies
from hwnas.errors import InvalidValueError
from hwnas.ranking.metrics import kendall
from hwnas.ranking.model_driven import ModelRanking
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.nasbench201.features import graf_features


def test_ranks_by_hand() -> None:
    # Labelled inputs 1, 2, 2, missing have the ranks 1/6, 2/3, 2/3 and -1, and the accuracies are
    # those ranks: a line learns the identity.
    model = ModelRanking(LinearRegression()).fit(
        [[1.0], [2.0], [2.0], [math.nan]], [1 / 6, 2 / 3, 2 / 3, -1]
    )
    assert model.n_labels_ == 4
    inputs = [[-math.inf], [1.5], [2.0], [math.inf], [math.nan]]
    np.testing.assert_allclose(model.predict(inputs), [0, 1 / 3, 2 / 3, 1, -1], atol=1e-12)


def test_a_function_of_one_column_is_learned() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 3))
    truth = np.tanh(inputs[:, 1])
    model = ModelRanking().fit(inputs[:200], truth[:200])
    assert kendall(model.predict(inputs[200:]), truth[200:]) > 0.9


def test_only_the_order_of_a_column_counts() -> None:
    rng = np.random.default_rng(1)
    inputs, truth = rng.normal(size=(60, 2)), rng.normal(size=60)
    inputs[3, 0] = math.nan
    plain = ModelRanking(seed=3).fit(inputs[:40], truth[:40]).predict(inputs[40:])
    # Far beyond float32, in which forests keep their inputs.
    grown = np.exp(100 * inputs)
    scaled = ModelRanking(seed=3).fit(grown[:40], truth[:40]).predict(grown[40:])
    np.testing.assert_array_equal(plain, scaled)


def test_the_regressor_is_copied_and_the_seed_is_used() -> None:
    rng = np.random.default_rng(2)
    inputs, truth = rng.normal(size=(30, 2)), rng.normal(size=30)
    regressor = LinearRegression()
    ModelRanking(regressor).fit(inputs, truth)
    assert not hasattr(regressor, "coef_")
    first, again, other = (ModelRanking(seed=s).fit(inputs, truth) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.predict(inputs), again.predict(inputs))
    assert np.any(first.predict(inputs) != other.predict(inputs))


def test_errors() -> None:
    with pytest.raises(NotFittedError, match="`fit` must be called"):
        ModelRanking().predict([[1.0]])
    with pytest.raises(InvalidValueError, match="`X` must have shape"):
        ModelRanking().fit([1.0], [1.0])
    with pytest.raises(InvalidValueError, match="each of the 2 rows"):
        ModelRanking().fit([[1.0], [2.0]], [1.0])
    with pytest.raises(InvalidValueError, match="with 1 missing"):
        ModelRanking().fit([[1.0], [2.0]], [1.0, math.nan])
    with pytest.raises(InvalidValueError, match="at least one"):
        ModelRanking().fit(np.zeros((0, 1)), [])
    with pytest.raises(InvalidValueError, match="1 columns as in `fit`, but got 2"):
        ModelRanking().fit([[1.0], [2.0]], [1.0, 2.0]).predict([[1.0, 2.0]])


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_the_published_figure_of_graf() -> None:
    """VKDNW, Table I: a forest over GRAF features, 1,024 labels of 9,445 cells: Kendall .809."""
    cells = [cell for cell in NasBench201() if cell.is_live()]
    table = accuracies("cifar100")
    truth = np.array([table[str(cell)] for cell in cells])
    inputs = graf_features(cells)
    order = np.random.default_rng(0).permutation(len(cells))
    labelled, others = order[:1024], order[1024:]
    model = ModelRanking().fit(inputs[labelled], truth[labelled])
    assert model.n_labels_ == 1024
    # At least the published figure, and less than what labels that leak would give.
    assert 0.809 <= kendall(model.predict(inputs[others]), truth[others]) < 0.87
