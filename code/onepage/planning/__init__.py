"""What a run will be: its plan, a budget of time, the variants of an ablation."""
