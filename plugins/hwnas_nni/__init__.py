"""hwnas inside NNI: reserved, this version has no strategy, tuner or profiler yet."""
