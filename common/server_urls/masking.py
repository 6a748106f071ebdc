"""The form of a URL in a log."""

import re


def masked_url(url: str) -> str:
    """Return the URL with its password masked, in the authority or in a parameter and with any characters."""
    shown = re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(password|sslkey)=[^&]*", r"\1=***", shown)
