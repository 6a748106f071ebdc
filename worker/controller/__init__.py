"""The controller: work that no client asks for, such as rescue, retention and bulk actions.

Start at `__main__.py`: a tick of the leader runs one controller task after the other. Imports `worker.tracing` and
`common`, nothing of the other folders of `worker`.
"""
