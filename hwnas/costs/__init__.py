"""Hardware costs: tables, counters and measurements, all of the role `hwnas.typing.CostModel`."""
