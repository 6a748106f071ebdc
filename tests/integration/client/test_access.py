"""The ways to an API: keys, tokens of a provider, base paths behind nginx, an authority of one's own, a proxy."""

import shutil
from pathlib import Path

import pytest
from rig import nginx
from rig.issuer import AUDIENCE
from rig.keys import REQUIRED, new_key
from rig.nginx import Nginx
from rig.openid_provider import ROBOT, ROBOT_SECRET, OpenIdProvider
from rig.proxy import Proxy
from rig.system import System
from rig.tls import Authority

from jobproc import Client
from jobproc.client.errors import ConnectionFailed
from jobproc.client.problems import ScopeMissing, Unauthenticated

PREFIX = "/teams/jobs"


def test_keys_and_tokens_are_sent(system: System, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    system.all(**REQUIRED, JOBPROC_OIDC_ISSUER=provider.url, JOBPROC_OIDC_AUDIENCES=AUDIENCE)
    url = str(system.client.base_url)
    with Client(url=url) as nobody, pytest.raises(Unauthenticated):
        nobody.operations()
    monkeypatch.setenv("JOBPROC_URL", url)
    monkeypatch.setenv("JOBPROC_API_KEY", new_key(system.database))
    with Client() as client:
        client.request("POST", "/tenants", b'{"name":"acme"}')
        assert client.run("square_sum", {"data": [2]}, timeout=20) == 4.0
    with Client(url=url, api_key=new_key(system.database, ["jobs:read"])) as reader, pytest.raises(ScopeMissing):
        reader.submit("noop", {"data": [1]})
    credentials = {"oidc_issuer": provider.url, "oidc_client_id": ROBOT, "oidc_client_secret": ROBOT_SECRET}
    with Client(url=url, oidc_scope="jobs:read jobs:write", **credentials) as robot:  # type: ignore[arg-type]  # texts
        assert list(robot.list()) == [], "it is of another tenant"
        assert list(robot.list()) == []


@pytest.mark.skipif(bool(nginx.missing()), reason=nginx.missing())
def test_a_base_path_behind_nginx_is_kept(system: System, tmp_path: Path) -> None:
    system.all(JOBPROC_ROOT_PATH=PREFIX)
    server = Nginx(tmp_path / "nginx", f"{PREFIX}/", f"proxy_pass http://127.0.0.1:{system.port}/;").start()
    try:
        with Client(url=f"http://127.0.0.1:{server.port}{PREFIX}/") as client:
            with client.batch() as batch:
                for number in range(3):
                    batch.submit("noop", {"data": [number]}, tags=["prefixed"])
            assert batch.wait(timeout=20).status == "ENDED"
            page = client.page(tag="prefixed", limit=2)
            assert page.next
            assert page.next.startswith(PREFIX)
            assert len(list(client.list(tag="prefixed", most=None))) == 3
            assert [event.status for event in client.events(page.jobs[0].job_id)] == ["SUCCESS"]
    finally:
        server.stop()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_an_authority_of_ones_own_is_trusted(system: System, tmp_path: Path) -> None:
    system.all()
    authority = Authority(tmp_path / "authority")
    tls = Proxy(system.port, authority.sign("api").context())
    try:
        url = f"https://localhost:{tls.port}"
        with Client(url=url, ca_file=str(authority.file)) as client:
            assert client.run("square_sum", {"data": [3]}, timeout=20) == 9.0
        with Client(url=url) as stranger, pytest.raises(ConnectionFailed, match="certificate"):
            stranger.operations()
    finally:
        tls.close()
