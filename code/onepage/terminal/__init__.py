"""What a person types and sees, and what of the environment counts: options, streams, progress, variables."""
