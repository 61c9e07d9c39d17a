"""Evaluation: sources of values, objectives made of them, and the evaluator that caches them."""
