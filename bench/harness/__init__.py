"""Operators timed side by side with what else a user of PyTorch would take."""
