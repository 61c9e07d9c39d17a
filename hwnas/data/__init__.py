"""Published data: what there is, where it is found, and how it is read safely."""
