"""TLS of the API itself: its certificate, that of its clients, and their replacement while it serves."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from rig.system import System, until
from rig.tls import Authority, SignedCertificate

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
JOB = {"data": [1], "operation": "square_sum"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def replace(folder: Path, certificate: SignedCertificate) -> dict[str, str]:
    """Put a certificate and its key in the place that the API reads; return the settings."""
    folder.mkdir(exist_ok=True)
    for source, name in ((certificate.key, "tls.key"), (certificate.file, "tls.crt")):
        shutil.copy(source, folder / "new")
        (folder / "new").replace(folder / name)
    return {
        "JOBPROC_TLS_CERTIFICATE_FILE": str(folder / "tls.crt"),
        "JOBPROC_TLS_KEY_FILE": str(folder / "tls.key"),
    }


def serve(system: System, **settings: str) -> None:
    process = system.spawn("api", "api", "--port", str(system.port), **settings)
    until("the API serves", lambda: process.poll() is not None or system.events("api", "api_serving"))
    assert process.poll() is None, system.log("api")


def trusting(root: Path, client: SignedCertificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(root))
    if client is not None:
        context.load_cert_chain(client.file, client.key)
    return context


def client_of(system: System, context: ssl.SSLContext, host: str = "localhost") -> httpx.Client:
    return httpx.Client(base_url=f"https://{host}:{system.port}", verify=context, timeout=15)


def served_certificate(system: System, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", system.port), 5) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def test_clients_that_trust_its_authority_are_served_and_no_others(
    system: System, authority: Authority, tmp_path: Path
) -> None:
    serve(system, **replace(tmp_path / "tls", authority.sign("api")))
    with client_of(system, trusting(authority.file)) as client:
        accepted = client.post("/jobs/", json=JOB)
        assert accepted.status_code == 202, accepted.text
        assert client.get(f"/jobs/{accepted.json()['job_id']}").status_code == 200
        assert client.post("/jobs/", json="x" * 3_000_000).status_code == 413, "an answer before the body's end"
        assert client.get("/docs").status_code == 200
    for context, host in (
        (trusting(Authority(tmp_path / "other").file), "localhost"),
        (trusting(authority.file), "127.0.0.1"),
    ):
        with client_of(system, context, host) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
            client.get("/livez")
    with httpx.Client() as client, pytest.raises(httpx.TransportError):
        client.get(f"http://localhost:{system.port}/livez")
    (serving,) = system.events("api", "api_serving")
    assert all(url.startswith("https://") for url in serving["urls"])
    assert system.end("api") in (0, -15)


def test_tls_below_1_2_is_refused(system: System, authority: Authority, tmp_path: Path) -> None:
    serve(system, **replace(tmp_path / "tls", authority.sign("api")))
    for version, is_served in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{system.port}", version, "-cipher", "ALL@SECLEVEL=0"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=20,
        )
        assert (done.returncode == 0) is is_served, (version, done.stderr)


def test_a_new_certificate_is_served_and_no_connection_is_dropped(
    system: System, authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.sign("first"), authority.sign("second")
    serve(system, **replace(tmp_path / "tls", first))
    context = trusting(authority.file)
    before = served_certificate(system, context)
    with client_of(system, context) as client:
        assert client.get("/livez").status_code == 200
        stream = client.send(client.build_request("GET", "/livez"), stream=True)
        connection = stream.extensions["network_stream"].get_extra_info("client_addr")
        stream.read()
        replace(tmp_path / "tls", second)
        until("it is loaded", lambda: system.events("api", "tls_certificate_loaded"))
        assert served_certificate(system, context) != before
        stream = client.send(client.build_request("GET", "/livez"), stream=True)
        assert stream.read()
        assert stream.extensions["network_stream"].get_extra_info("client_addr") == connection, "the same connection"
    (tmp_path / "tls" / "tls.key").write_text("no key")
    until("it is refused", lambda: system.events("api", "tls_certificate_refused"))
    assert served_certificate(system, context) not in (before, b"")
    replace(tmp_path / "tls", first)
    until("the first one is loaded", lambda: len(system.events("api", "tls_certificate_loaded")) == 2)
    assert served_certificate(system, context) == before


def test_clients_need_a_certificate_if_their_authority_is_named(
    system: System, authority: Authority, tmp_path: Path
) -> None:
    clients, strangers = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    settings = replace(tmp_path / "tls", authority.sign("api"))
    serve(system, **settings, JOBPROC_TLS_CLIENT_CA_FILE=str(clients.file))
    known, stranger = clients.sign("known", "known"), strangers.sign("stranger", "stranger")
    with client_of(system, trusting(authority.file, known)) as client:
        assert client.get("/livez").status_code == 200
    for context in (trusting(authority.file), trusting(authority.file, stranger)):
        with client_of(system, context) as client, pytest.raises(httpx.TransportError):
            client.get("/livez")


@pytest.mark.parametrize(
    ("break_files", "sentence"),
    [
        (lambda folder: (folder / "tls.key").unlink(), "is missing"),
        (lambda folder: (folder / "tls.crt").write_text("x"), "cannot be used: "),
        (lambda folder: shutil.copy(folder / "other.key", folder / "tls.key"), "cannot be used: KEY_VALUES_MISMATCH"),
        (lambda folder: _encrypt(folder / "tls.key"), "cannot be used: the key has a password"),
    ],
    ids=["missing", "text", "another key", "password"],
)
def test_files_that_cannot_be_used_stop_the_start_with_one_sentence(
    system: System, authority: Authority, tmp_path: Path, break_files: Callable[[Path], object], sentence: str
) -> None:
    folder = tmp_path / "tls"
    settings = replace(folder, authority.sign("api"))
    shutil.copy(authority.sign("other").key, folder / "other.key")
    break_files(folder)
    process = system.spawn("api", "api", "--port", str(system.port), **settings)
    assert process.wait(20) == 1
    (words,) = [line for line in system.log("api").splitlines() if not line.startswith("{")]
    assert words.startswith("api: ")
    assert sentence in words


def _encrypt(key: Path) -> None:
    plain = key.rename(key.with_suffix(".plain"))
    command = ["openssl", "pkey", "-in", str(plain), "-aes256", "-passout", "pass:secret", "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_certificate_needs_its_key_and_clients_need_it(system: System) -> None:
    for settings, sentence in (
        ({"JOBPROC_TLS_CERTIFICATE_FILE": "/x"}, "must be given together"),
        ({"JOBPROC_TLS_CLIENT_CA_FILE": "/x"}, "JOBPROC_TLS_CLIENT_CA_FILE needs JOBPROC_TLS_CERTIFICATE_FILE"),
    ):
        process = system.spawn("refused", "api", "--port", str(system.port), **settings)
        assert process.wait(20) == 1
        assert sentence in system.log("refused")
