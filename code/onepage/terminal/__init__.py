"""The command line's options, streams and progress, and the environment variables that have an effect."""
