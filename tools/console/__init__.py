"""Checks the types of the console's modules with TypeScript. Start at `__main__`. Imports only `common`."""
