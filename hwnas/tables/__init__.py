"""Columns of numbers by architecture."""
