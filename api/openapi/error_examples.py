"""Examples of the API's responses about error groups."""

from typing import Any

from api.schemas import EXAMPLE_ID as ID

_GROUP = {
    "error_group": "3f6c2a10b4d8", "operation": "square_sum", "type": "PermanentFailure",
    "normalised_text": "row # of # has no number", "count": 48,
    "first_at": "2025-11-21T09:52:37.160Z", "last_at": "2025-11-21T09:53:24.160Z", "counts": [2] * 24,
    "sample_text": "row 4,000 of 10,000 has no number", "sample": [ID],
    "links": {"jobs": "/jobs?error_group=3f6c2a10b4d8&operation=square_sum"},
}  # fmt: skip
_ERRORS = {
    "errors": [_GROUP], "groups_total": 1, "failed": 48, "scanned": 51, "is_complete": True,
    "since": "2025-11-21T09:52:37.160Z", "until": "2025-11-21T09:53:25.000Z",
}  # fmt: skip

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("get", "/errors"): {"200": {"error groups": _ERRORS}},
}
