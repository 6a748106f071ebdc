"""The documentation site, made of docs/ by Zensical. Start at `__main__.py`. Imports nothing outside of tools/site."""
