"""GET /me: the caller, whatever its scopes."""

from rig.keys import client_of, new_key
from rig.system import System
from rig.tenants import new_tenant

from api.auth.access import TENANT_HEADER
from common.domain.tenancy.scopes import Scope


def test_a_key_without_a_scope_sees_itself(secured: System) -> None:
    key = new_key(secured.database, [])
    with client_of(secured, key) as client:
        answer = client.get("/me").raise_for_status().json()
    assert answer["subject"].startswith("key:") and answer["subject"].removeprefix("key:") in key
    assert (answer["scopes"], answer["tenant"], answer["own_tenant"]) == ([], "default", "default")
    assert answer["may_submit"] is True


def test_an_operator_who_acts_for_another_tenant_sees_both(secured: System) -> None:
    new_tenant(secured.database, "acme-of-caller")
    with client_of(secured, new_key(secured.database, [Scope.ADMIN])) as client:
        answer = client.get("/me", headers={TENANT_HEADER: "acme-of-caller"}).raise_for_status().json()
    assert (answer["tenant"], answer["own_tenant"], answer["scopes"]) == ("acme-of-caller", "default", ["admin"])


def test_nobody_is_no_caller(secured: System) -> None:
    assert secured.client.get("/me").status_code == 401


def test_without_authentication_the_caller_has_no_name(system: System) -> None:
    answer = system.api().client.get("/me").raise_for_status().json()
    assert answer["subject"] is None
    assert answer["scopes"] == sorted(Scope)
