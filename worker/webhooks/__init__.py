"""The delivery of webhooks: the built-in operation of the queue `webhooks`.

Start at `operation.py`. A worker that does not serve the queue does not have the operation. Imports no HTTP client
before the first delivery.
"""
