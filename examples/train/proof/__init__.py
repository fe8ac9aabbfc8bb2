"""Small models learn to find needles in real text: see docs/training.md."""
