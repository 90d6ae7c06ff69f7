"""dsjobs beside its peers, as ratios of runs taken in turn: `python -m benchmarks`."""
