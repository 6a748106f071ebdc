"""Handles of jobs and batches, and the resources of a client: start at `jobs.py`. Imports only the calls."""
