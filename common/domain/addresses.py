"""Addresses of hosts."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine, and only processes on it reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
