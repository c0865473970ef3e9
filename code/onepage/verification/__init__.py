"""What is claimed, recounted, traced, compared and kept: whether a result holds, and where it comes from."""
