from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import registry
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.files import grammar
from hwnas.files.grammar import Component, read_component, split_constraint

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.none(),
        st.text(max_size=8),
    ),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)


def test_examples_run() -> None:
    assert doctest.testmod(grammar).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naswot", Component("naswot")),
        ("a:b:c", Component("a", ("b", "c"))),
        ("a:b:x=1,y=(1e-6,1)", Component("a", ("b",), {"x": 1, "y": (1e-6, 1)})),
        ("a:x=int8,y=c-1x1,z=b/c", Component("a", (), {"x": "int8", "y": "c-1x1", "z": "b/c"})),
        ("a:x=true,y=none,z='true'", Component("a", (), {"x": True, "y": None, "z": "true"})),
        ("a:x='p:q=3'", Component("a", (), {"x": "p:q=3"})),
        ("Space(channels=16, cells=5)", Component("Space", (), {"channels": 16, "cells": 5})),
        ("Space()", Component("Space")),
    ],
)  # fmt: skip
def test_texts_are_read(text: str, expected: Component) -> None:
    assert read_component(text, "cost", words=2) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "a:", "a::b", "a:b:c:d", "a:x=", "a:x=f()", "a:x=1,x=2", "a:x=1,2", "a:**{}", "a(",
        "a:x=)(", "a:x=[i for i in y]", "a:x=lambda:0", "Space(3)", "Space(**{})", "a\0:x=1",
        "a:x=" + "[" * 2000, "a:x=" + "1" * 20_000, "a:x=b c",
    ],
)  # fmt: skip
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"`cost` must be NAME") as caught:
        read_component(text, "cost", words=2)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@given(WORDS, st.dictionaries(WORDS.filter(str.isidentifier), VALUES, max_size=3))
def test_settings_as_python_writes_them_are_read(name: str, settings: dict[str, Any]) -> None:
    try:
        compile("f(" + ",".join(f"{key}=0" for key in settings) + ")", "", "eval")
    except SyntaxError:  # a keyword of Python is no setting
        return
    written = ",".join(f"{key}={value!r}" for key, value in settings.items())
    text = f"{name}:{written}" if settings else name
    assert read_component(text, "proxy") == Component(name, (), settings)


def test_components_refuse_settings_that_are_not_theirs() -> None:
    space = registry.make("spaces", "nasbench201", channels=4)
    assert repr(space) == "NasBench201(channels=4, cells=5)"
    start = "`settings` of space 'nasbench201' must"
    with pytest.raises(InvalidValueError, match=rf"{start} be its own \(channels, cells\)"):
        registry.make("spaces", "nasbench201", width=1)
    with pytest.raises(InvalidValueError, match=f"{start} have values that fit"):
        registry.make("spaces", "nasbench201", channels="x")
    with pytest.raises(InvalidValueError, match="`channels` must be at least 1"):
        registry.make("spaces", "nasbench201", channels=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'nasbench201'"):
        registry.make("spaces", "nasbench202")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency<=5", ("latency", "<=", 5.0)),
        (" params >= 1e6 ", ("params", ">=", 1e6)),
        ("hw-nas-bench:raspi4:latency≤20.5", ("hw-nas-bench:raspi4:latency", "<=", 20.5)),
        ("jacob_cov+params>=-3", ("jacob_cov+params", ">=", -3.0)),
        ("onnxruntime:cpu:threads=2<=9", ("onnxruntime:cpu:threads=2", "<=", 9.0)),
        ("flops<=450M", ("flops", "<=", 450e6)),
        ("macs >= 1.5 G", ("macs", ">=", 1.5e9)),
        ("params<=20k", ("params", "<=", 20e3)),
    ],
)
def test_constraints_are_read(text: str, expected: tuple[str, str, float]) -> None:
    assert split_constraint(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "latency", "latency<5", "latency<=", "<=5", "latency<=1.2.3", "macs<=450m", "macs<=4MM"],
)
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"e\.g\. 'latency<=5'"):
        split_constraint(text)
