"""What a person types and sees: options, streams, progress."""
