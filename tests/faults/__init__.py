"""Real servers and processes under a seeded schedule of client actions and faults; what happened is written down and checked."""
