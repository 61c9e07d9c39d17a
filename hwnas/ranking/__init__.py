"""Joins the scores of several proxies into one by their ranks."""
