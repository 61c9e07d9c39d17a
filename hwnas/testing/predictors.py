"""Contract of predictors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from hwnas.errors import DataFormatError, HwnasError
from hwnas.testing.samples import draw
from hwnas.typing import Arch, FloatArray, Predictor, SearchSpace


class PredictorContract:
    """What every predictor keeps; supply the fixtures `make_predictor` and `space`.

    `make_predictor` is a function without arguments that makes an unfitted predictor, the same
    one each time. It is fitted to a cost that adds up over the parameters' choices.

    Attributes:
        samples: architectures to learn from.
    """

    samples: int = 60

    @pytest.fixture
    def archs(self, space: SearchSpace[Arch]) -> list[Arch]:
        return draw(space, self.samples)

    @pytest.fixture
    def costs(self, space: SearchSpace[Arch], archs: list[Arch]) -> FloatArray:
        position = {
            name: {choice: i for i, choice in enumerate(choices)}
            for name, choices in space.parameters.items()
        }
        return np.array(
            [1.0 + sum(position[k][v] for k, v in space.encode(a).items()) for a in archs]
        )

    @pytest.fixture
    def fitted(
        self, make_predictor: Callable[[], Predictor[Arch]], archs: list[Arch], costs: FloatArray
    ) -> Predictor[Arch]:
        return make_predictor().fit(archs, costs)

    def test_fit_gives_the_predictor_itself(
        self, make_predictor: Callable[[], Predictor[Arch]], archs: list[Arch], costs: FloatArray
    ) -> None:
        predictor = make_predictor()
        assert predictor.fit(archs, costs) is predictor

    def test_predicting_needs_fitting(
        self, make_predictor: Callable[[], Predictor[Arch]], archs: list[Arch]
    ) -> None:
        with pytest.raises((HwnasError, NotFittedError)):
            make_predictor().predict(archs)

    def test_costs_must_match_architectures(
        self, make_predictor: Callable[[], Predictor[Arch]], archs: list[Arch], costs: FloatArray
    ) -> None:
        with pytest.raises(HwnasError):
            make_predictor().fit(archs, costs[:-1])

    def test_one_value_an_architecture(self, fitted: Predictor[Arch], archs: list[Arch]) -> None:
        values = fitted.predict(archs)
        assert values.shape == (len(archs),)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert fitted.predict([]).shape == (0,)

    def test_values_belong_to_architectures(
        self, fitted: Predictor[Arch], archs: list[Arch]
    ) -> None:
        values = fitted.predict(archs)
        np.testing.assert_allclose(fitted.predict(archs[::-1])[::-1], values, rtol=1e-4)

    def test_prediction_beats_the_mean(
        self, fitted: Predictor[Arch], archs: list[Arch], costs: FloatArray
    ) -> None:
        assert np.mean((fitted.predict(archs) - costs) ** 2) < np.var(costs)

    def test_fitting_repeats(
        self,
        make_predictor: Callable[[], Predictor[Arch]],
        fitted: Predictor[Arch],
        archs: list[Arch],
        costs: FloatArray,
    ) -> None:
        again = make_predictor().fit(archs, costs)
        np.testing.assert_allclose(again.predict(archs), fitted.predict(archs), rtol=1e-6)

    def test_saved_predictor_is_the_same(
        self, fitted: Predictor[Arch], archs: list[Arch], tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "predictor")
        loaded = type(fitted).load(tmp_path / "predictor")
        np.testing.assert_allclose(loaded.predict(archs), fitted.predict(archs), rtol=1e-6)
        for fact in ("metric", "unit", "direction", "device"):
            assert getattr(loaded, fact) == getattr(fitted, fact)

    @pytest.mark.parametrize("content", [b"", b"something else", b"\x80\x04N."])
    def test_foreign_file_is_refused(
        self, fitted: Predictor[Arch], tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "foreign"
        path.write_bytes(content)
        with pytest.raises(DataFormatError):
            type(fitted).load(path)
