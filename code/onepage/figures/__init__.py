"""Drawing: arrays and JSON in, pictures out. Nothing here imports torch."""
