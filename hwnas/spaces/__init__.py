"""Search spaces: one a file, all of the role `hwnas.typing.SearchSpace`."""
