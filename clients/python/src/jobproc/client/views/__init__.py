"""Views of responses, by the resource of the API: start at `view.py`. Imports only the requests of the connection."""
