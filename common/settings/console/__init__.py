"""Settings of what a console shows: lists that it follows, its links, and the name of the installation.

Start at `links.py`. Imports nothing but `common.settings`.
"""
