"""What both training loops share: recipes, seeding, schedules, averaging, checkpoints, several processes."""
