"""What a run is and where it lies: settings, stamps, lookup, seeds, history, provenance. Standard library only."""
