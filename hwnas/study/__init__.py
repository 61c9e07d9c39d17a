"""A study: settings in words, the search that they describe, its workers."""
