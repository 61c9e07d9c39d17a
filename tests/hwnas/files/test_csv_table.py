from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.files.csv_table import as_cell, from_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "'=1", "''@", "\n=1"])
def test_formulas_have_an_apostrophe_before_them(text: str) -> None:
    assert as_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["|none~0|", "a=b", "'tis", "'", "", "r224|k3e3", "0-1"])
def test_other_texts_stay(text: str) -> None:
    assert as_cell(text) == text == from_cell(text)


@given(st.text(alphabet="'=+-@\t\r\nab,\"", max_size=6))
def test_what_was_written_is_read(text: str) -> None:
    assert from_cell(as_cell(text)) == text
    assert as_cell(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    stream = io.StringIO()
    csv.writer(stream).writerow([as_cell(text), "x"])
    ((cell, _),) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert from_cell(cell) == text
