"""The routes of workflows.

Start at `resource.py`. `submission.py` stores them. Imports nothing from the other routes.
"""
