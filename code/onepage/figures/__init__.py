"""Drawing: arrays and JSON in, pictures out. This code does not import torch."""
