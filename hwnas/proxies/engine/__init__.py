"""What a proxy sees, and the fewest passes that serve all."""
