"""The controller: what has to happen although nobody asks for it."""
