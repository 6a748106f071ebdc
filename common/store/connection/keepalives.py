"""TCP keepalives, by which a connection to a server that has vanished ends, the same for both drivers."""

import socket
from collections.abc import Mapping

#: The defaults, named as libpq names them.
KEEPALIVES = {"keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "5", "keepalives_count": "3"}
_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}


def set_keepalives(connection: socket.socket, parameters: Mapping[str, str]) -> None:
    """Set on a TCP socket what libpq would set for these parameters of a URL. Does nothing for a Unix socket."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    values = {**KEEPALIVES, **parameters}
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(values["keepalives"]))
    for name, option in _OPTIONS.items():
        if name in values and hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), int(values[name]))
