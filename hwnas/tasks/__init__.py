"""Tasks: what networks are built for."""
