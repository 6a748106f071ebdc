"""The parts of jobproc that have an image each."""

PARTS = ("api", "worker")
USER = "10001:0"
LABELS = {"version": "1.2.3", "revision": "abcdef0", "created": "2026-01-02T03:04:05Z"}
