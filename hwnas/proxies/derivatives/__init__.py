"""Derivatives by image, by element and of second order."""
