"""The API with TLS of its own: everything that calls it checks its certificate, and a renewed one needs no restart."""

import socket
import ssl
from typing import Any

import httpx
import pytest
from e2e.certificates import checking, create_secret, tls_data
from e2e.cluster import CHART, KEY_REF, Api, Namespace, until
from rig.tls import Authority

SECRET = "api-tls"  # noqa: S105 - its name
RENEWAL_S = 180  # the kubelet replaces the files of a Secret within about a minute


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def host_of(namespace: Namespace) -> str:
    return f"jobproc-api.{namespace.name}.svc"


@pytest.fixture(scope="module")
def installed(namespace: Namespace, authority: Authority) -> Namespace:
    create_secret(namespace, SECRET, tls_data(authority.sign("first", host_of(namespace))), "kubernetes.io/tls")
    namespace.install(
        *namespace.operations(),
        f"api.tls.existingSecret={SECRET}",
        f"worker.apiKey.existingSecret={KEY_REF['name']}",
        "api.replicas=2",
        "controller.replicas=1",
        "postgresql.persistence.enabled=false",
    )
    return namespace


@pytest.fixture(scope="module")
def port(installed: Namespace) -> int:
    return installed.forward("service/jobproc-api", 8000)


@pytest.fixture
def api(installed: Namespace, authority: Authority, port: int) -> Any:
    key = installed.secret(KEY_REF["name"], "api-key")
    api = Api(f"https://127.0.0.1:{port}", key, **checking(authority, host_of(installed)))
    yield api
    api.close()


def served(namespace: Namespace, authority: Authority, pod: str) -> bytes:
    """Return the certificate that a pod serves."""
    port = namespace.forward(f"pod/{pod}", 8000)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as connection,
        authority.context().wrap_socket(connection, server_hostname=host_of(namespace)) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def test_a_client_that_checks_the_certificate_submits_and_reads(api: Api) -> None:
    assert api.until_status(api.submit("square_sum", 1, 2, 3), "SUCCESS")["result"] == 14.0


def test_no_other_client_is_served(installed: Namespace, port: int, tmp_path: Any) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as plain, pytest.raises(httpx.TransportError):
        plain.get("/livez")
    options = checking(Authority(tmp_path / "other"), host_of(installed))
    refused = pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED")
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", **options) as other, refused:
        other.get("/livez")


def test_helm_test_succeeds(installed: Namespace) -> None:
    assert "Succeeded" in installed.helm("test", "jobproc")


def test_an_operation_submits_further_jobs(api: Api) -> None:
    response = api.http.post("/jobs/", json={"operation": "hand_out", "input": {"jobs": 2}})
    assert response.status_code == 202, response.text
    for job in api.until_status(response.json()["job_id"], "SUCCESS")["result"]:
        api.until_status(job, "SUCCESS")


def test_a_renewed_certificate_is_served_without_a_restart(
    installed: Namespace, authority: Authority, api: Api
) -> None:
    pods = installed.ready("api")
    before = {pod: served(installed, authority, pod) for pod in pods}
    data = tls_data(authority.sign("second", host_of(installed)))
    installed.core.patch_namespaced_secret(SECRET, installed.name, {"stringData": data})
    until(
        "both pods serve the new certificate",
        lambda: all(served(installed, authority, pod) != before[pod] for pod in pods),
        RENEWAL_S,
    )
    expected = ssl.PEM_cert_to_DER_cert(data["tls.crt"])
    assert {served(installed, authority, pod) for pod in pods} == {expected}
    assert api.until_status(api.submit("cube_sum", 2), "SUCCESS")["result"] == 8.0
    assert installed.ready("api") == pods
    assert {pod.status.container_statuses[0].restart_count for pod in installed.pods("api")} == {0}


def test_clients_need_a_certificate_if_their_authority_is_named(
    installed: Namespace, authority: Authority, tmp_path: Any
) -> None:
    clients = Authority(tmp_path / "clients")
    create_secret(installed, "clients", {"ca.crt": clients.file.read_text()})
    value = "api.tls.clientCa.existingSecret=clients"
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", value, "--wait")
    url = f"https://127.0.0.1:{installed.forward('service/jobproc-api', 8000)}"
    options = checking(authority, host_of(installed))
    with httpx.Client(base_url=url, **options) as stranger, pytest.raises(httpx.TransportError):
        stranger.get("/livez")
    known, certificate = authority.context(), clients.sign("known", "known")
    known.load_cert_chain(certificate.file, certificate.key)
    with httpx.Client(base_url=url, **{**options, "verify": known}) as client:
        assert client.get("/livez").status_code == 200
