"""The benchmark that the settings of the transfer model are chosen by."""

from __future__ import annotations

import pytest

from benchmarks.predictors.choose_transfer import text_of, trust_of
from hwnas_predictors.beliefs import TRUST


def test_the_trust_that_ships_is_one_that_can_be_compared() -> None:
    assert trust_of(text_of(TRUST)) == TRUST
    assert trust_of("0.5,0.25") == {"executed": 0.5, "pruned": 0.25}
    assert trust_of("0.8") == {"executed": 0.8, "pruned": 0.8}


@pytest.mark.parametrize("text", ["", "1", "0.5,0", "0.5,0.2,0.1", "much"])
def test_what_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"trust|float"):
        trust_of(text)
