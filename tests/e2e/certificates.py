"""Secrets of a namespace, and clients of servers in it that check a certificate."""

from collections.abc import Mapping
from typing import Any

import httpx
from e2e.cluster import Namespace
from rig.tls import Authority, SignedCertificate


def create_secret(namespace: Namespace, name: str, data: Mapping[str, str], kind: str = "Opaque") -> None:
    """Create a Secret."""
    body = {"metadata": {"name": name}, "type": kind, "stringData": dict(data)}
    namespace.core.create_namespaced_secret(namespace.name, body)


def tls_data(certificate: SignedCertificate) -> dict[str, str]:
    """Return the content of a Secret of the type `kubernetes.io/tls`, with the authority, as cert-manager writes it."""
    files = {"tls.crt": certificate.file, "tls.key": certificate.key, "ca.crt": certificate.root}
    return {key: file.read_text() for key, file in files.items()}


def checking(authority: Authority, host: str) -> dict[str, Any]:
    """Return the options of httpx for a server at a forwarded port, whose certificate must have the name `host`."""

    def name_host(request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = host

    return {"verify": authority.context(), "event_hooks": {"request": [name_host]}}
