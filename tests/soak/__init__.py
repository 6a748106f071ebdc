"""The real system under a steady load for long: what grows, what does not, and whether every job ended."""
