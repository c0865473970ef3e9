"""Plans of runs, scaling to a training time, and the variants of an ablation."""
