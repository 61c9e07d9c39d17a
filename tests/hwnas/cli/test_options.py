"""What options that several commands have are read as."""

from __future__ import annotations

import pytest

from hwnas.cli.options import chosen_networks
from hwnas.errors import InvalidValueError


@pytest.mark.parametrize(
    ("classes", "shape", "dataset"),
    [
        ("4, 30000", "16", "16:4:30000"),
        ("next ,300", "16", "16:next:300"),
        (" map5", "3,16,16", "3x16x16:map5"),
        ("7", "1, 8, 8", "1x8x8:7"),
    ],
)
def test_blanks_in_sizes_are_no_matter(classes: str, shape: str, dataset: str) -> None:
    assert chosen_networks("any", None, "gaussian", shape, classes)[1] == dataset


@pytest.mark.parametrize("classes", ["", "4,", ",4", "4,3,2", "4 5", "-4", "4,x", "4,٣", "4:5"])
def test_classes_that_are_none_say_which_are(classes: str) -> None:
    with pytest.raises(InvalidValueError, match=r"map5, numbers3, .* next,VOCABULARY, but got"):
        chosen_networks("any", None, "gaussian", "16", classes)
