"""Training of networks on single sources: schedules, checkpoints and learning curves, of boxes and of sounds."""
