"""Contract of a space's parameters: of any JSON scalar, and some of them not always there."""

from __future__ import annotations

from typing import cast

import pytest

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.choices import Options, decide
from hwnas.spaces.options import V, text_of
from hwnas.typing import Arch, Choice, SearchSpace


class ParametersContract:
    """What the parameters of a space keep; part of `SearchSpaceContract`."""

    def test_parameters_are_choices(self, space: SearchSpace[Arch]) -> None:
        assert space.name
        assert space.parameters
        for name, choices in space.parameters.items():
            assert isinstance(name, str)
            assert len(choices) == len(set(choices)) == len(set(map(text_of, choices))) >= 1
            assert all(isinstance(choice, str | int | float) for choice in choices)

    def test_encode_and_decode_are_inverse(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs:
            parameters = space.encode(arch)
            assert set(parameters) <= set(space.parameters)
            assert all(value in space.parameters[name] for name, value in parameters.items())
            assert space.decode(parameters) == arch
            assert (
                space.decode({name: text_of(value) for name, value in parameters.items()}) == arch
            )

    def test_parameters_that_do_not_exist_are_left_alone(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs:
            first = {name: choices[0] for name, choices in space.parameters.items()}
            assert space.decode({"": None, **first, **space.encode(arch)}) == arch

    def test_missing_and_foreign_values_are_refused(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs[:3]:
            parameters = space.encode(arch)
            for name in parameters:
                others = {n: value for n, value in parameters.items() if n != name}
                with pytest.raises(InvalidArchitectureError, match=name):
                    space.decode(others)
                with pytest.raises(InvalidArchitectureError):
                    space.decode({**others, name: "no option of any space"})

    def test_what_exists_is_asked_for(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        """A space that says what exists asks for that; of others hosts ask for everything."""
        declared = hasattr(space, "make")
        for arch in archs:
            answers = {**{n: c[0] for n, c in space.parameters.items()}, **space.encode(arch)}
            asked: dict[str, Choice] = {}

            def choose(
                name: str,
                options: Options[V],
                answers: dict[str, Choice] = answers,
                asked: dict[str, Choice] = asked,
            ) -> V:
                assert tuple(options.values) == space.parameters[name]
                asked[name] = answers[name]
                return cast(V, answers[name])

            assert decide(space, choose) == arch
            assert asked == (dict(space.encode(arch)) if declared else answers)
