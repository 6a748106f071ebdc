"""An OpenID provider in a namespace, and the values by which the API of a release trusts it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from e2e.certificates import checking
from e2e.cluster import TAG, Namespace, until
from rig.issuer import AUDIENCE, DISCOVERY
from rig.tls import Authority

IMAGE = os.environ.get("JOBPROC_E2E_PROVIDER", "jobproc-openid-provider")
NAME, PORT = "id", 8443


@contextmanager
def openid_provider(namespace: Namespace, authority: Authority) -> Iterator[httpx.Client]:
    """Run the provider as a pod with a Service. Yields a client of it."""
    host = f"{NAME}.{namespace.name}.svc"
    certificate = authority.sign(NAME, host)
    files = [certificate.file, certificate.key]
    command = ["python", "-m", "rig.openid_provider", f"https://{host}:{PORT}"]
    namespace.pod(NAME, f"{IMAGE}:{TAG}", [*command, *(f"/files/{file.name}" for file in files)], files, PORT)
    namespace.kubectl("label", "pod", NAME, f"app={NAME}")
    namespace.kubectl("expose", "pod", NAME, "--port", str(PORT))
    until("the provider listens", lambda: namespace.ready_pod(NAME), 120)
    port = namespace.forward(f"service/{NAME}", PORT)
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", **checking(authority, host)) as client:
        until("the provider serves", lambda: _serves(client), 60)
        yield client


def _serves(client: httpx.Client) -> bool:
    try:
        return client.get(DISCOVERY).status_code == 200
    except httpx.TransportError:
        return False


def values(namespace: Namespace, authority: Authority, provider: httpx.Client) -> list[str]:
    """Create the ConfigMap with the authority. Returns the values of a release whose API accepts the tokens."""
    config_map = {"metadata": {"name": "id-ca"}, "data": {"ca.crt": authority.file.read_text()}}
    namespace.core.create_namespaced_config_map(namespace.name, config_map)
    issuer = provider.get(DISCOVERY).json()["issuer"]
    return [f"oidc.issuer={issuer}", f'oidc.audiences=["{AUDIENCE}"]', "oidc.ca.configMap=id-ca"]
