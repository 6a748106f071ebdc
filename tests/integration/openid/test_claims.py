"""The claims of a token give a subject, a tenant and scopes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rig.issuer import Issuer, Key
from rig.verification import principal

from api.auth.access import InvalidToken
from common.domain.tenancy.scopes import Scope

KEY = Key("EdDSA", "one")
R, W, ADMIN = Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.ADMIN
GROUPS = json.dumps({"operators": ["jobs:read", "jobs:write"], "boss": ["admin"], "jobs:read": ["jobs:read"]})
TENANTS = json.dumps({"g-acme": "acme", "g-acme-too": "acme", "g-default": "default", "g-gone": "gone"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer(KEY)
    yield issuer
    issuer.close()


@pytest.mark.parametrize(
    ("claims", "settings", "expected"),
    [
        ({"scope": "jobs:read openid jobs:write"}, {}, {R, W}),
        ({"scope": ["jobs:read", "jobs:write"]}, {}, {R, W}),
        ({"scope": ""}, {"oidc_default_scopes": "jobs:read"}, set()),
        ({"scope": []}, {"oidc_default_scopes": "jobs:read"}, set()),
        ({"scope": None}, {}, set()),
        ({"scope": None}, {"oidc_default_scopes": "jobs:read"}, {R}),
        ({"scope": "admin"}, {}, set()),
        ({"scope": "admin jobs:write"}, {"oidc_scopes_mapping": GROUPS}, set()),
        ({"scope": "boss operators"}, {"oidc_scopes_mapping": GROUPS}, {R, W, ADMIN}),
        ({"scope": None, "scp": "jobs:read", "roles": ["jobs:write"]}, {"oidc_scopes_claims": "scp, roles"}, {R, W}),
        ({"realm_access": {"roles": ["jobs:read"]}}, {"oidc_scopes_claims": "realm_access.roles"}, {R}),
        ({"realm_access": "jobs:read"}, {"oidc_scopes_claims": "realm_access.roles"}, set()),
        ({"https://acme.example/scopes": ["jobs:read"]}, {"oidc_scopes_claims": "https://acme.example/scopes"}, {R}),
    ],
)
def test_claims_give_scopes(
    issuer: Issuer, claims: dict[str, Any], settings: dict[str, str], expected: set[Scope]
) -> None:
    assert principal(issuer, issuer.token(**claims), **settings).scopes == expected


@pytest.mark.parametrize(
    ("claims", "settings", "expected"),
    [
        ({"tenant": "acme"}, {}, 2),
        ({"tenant": None}, {"oidc_default_tenant": "acme"}, 2),
        ({"tenant": "acme"}, {"oidc_default_tenant": "default"}, 2),
        ({"tenant": "acme"}, {"oidc_tenant_claim": "", "oidc_default_tenant": "default"}, 1),
        ({"tenant": "g-acme"}, {"oidc_tenant_mapping": TENANTS}, 2),
        (
            {"groups": ["all", "g-acme", "g-acme-too"]},
            {"oidc_tenant_claim": "groups", "oidc_tenant_mapping": TENANTS},
            2,
        ),
        ({"org": {"name": "acme"}}, {"oidc_tenant_claim": "org.name"}, 2),
    ],
)
def test_a_claim_gives_the_tenant(
    issuer: Issuer, claims: dict[str, Any], settings: dict[str, str], expected: int
) -> None:
    found = principal(issuer, issuer.token(**claims), **settings)
    assert (found.tenant, found.tenant_name) == (expected, {1: "default", 2: "acme"}[expected])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("acme", "The token belongs to no tenant, or to more than one."),
        ([], "The token belongs to no tenant, or to more than one."),
        (["g-acme", "g-default"], "The token belongs to no tenant, or to more than one."),
        ("g-gone", "The tenant of the token does not exist."),
        (["g-acme", 1], "The tenant of the token must be a text or a list of texts."),
        ({"g-acme": 1}, "The tenant of the token must be a text or a list of texts."),
    ],
)
def test_a_mapping_refuses_other_tenants(issuer: Issuer, value: object, sentence: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        principal(issuer, issuer.token(tenant=value), oidc_tenant_mapping=TENANTS)
    assert str(caught.value) == sentence


def test_another_claim_may_be_the_subject(issuer: Issuer) -> None:
    assert principal(issuer, issuer.token(client_id="robot"), oidc_subject_claim="client_id").subject == "user:robot"
    assert principal(issuer, issuer.token(sub="x" * 250)).subject == "user:" + "x" * 250
