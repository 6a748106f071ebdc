"""Soak test: the real system under a steady load for a long time. Nothing may grow, and every job must end."""
