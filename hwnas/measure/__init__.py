"""Measuring: repeat until the median is known, on a machine that is named."""
