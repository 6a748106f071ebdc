"""The console at /console: pages for a browser that are a client of the public API alone. Start at `site`.

`site` serves the files of `static/`, `shell` makes the HTML of each page, `modules` joins and shortens what browsers
load. Imports only `api.web`: no route and no service.
"""
