"""Rankings of known architectures: which scores order them as training does."""
