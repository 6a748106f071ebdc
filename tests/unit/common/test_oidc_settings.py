"""The settings of OpenID sign-in: what is wrong with them ends the start, with a sentence."""

import os

import pytest

from common.domain.errors import StartupError
from common.domain.tenancy.scopes import Scope
from common.settings import Settings

GOOD = {"JOBPROC_OIDC_ISSUER": "https://id.example/realms/acme", "JOBPROC_OIDC_AUDIENCES": "jobproc, other"}


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in {**GOOD, **{f"JOBPROC_OIDC_{name}": value for name, value in variables.items()}}.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


def test_an_issuer_and_an_audience_are_enough(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare)
    assert settings.audiences == ["jobproc", "other"]
    assert settings.algorithms == {"RS256", "ES256", "EdDSA"}
    assert (settings.scopes_claims, settings.tenant_by_value, settings.default_scopes) == (["scope"], {}, frozenset())
    assert Scope.ADMIN not in settings.scopes_by_value
    assert settings.scopes_by_value["jobs:read"] == {Scope.JOBS_READ}


def test_a_mapping_gives_its_scopes_alone(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare, SCOPES_MAPPING='{"boss": ["admin", "keys"], "none": []}')
    assert settings.scopes_by_value == {"boss": {Scope.ADMIN, Scope.KEYS}, "none": frozenset()}


@pytest.mark.parametrize(
    "url",
    ["https://id.example", "https://id.example:8443/a/", "http://127.0.0.1:9/x", "http://localhost", "http://[::1]:80"],
)
def test_an_issuer_may_be_at_these_urls(bare: pytest.MonkeyPatch, url: str) -> None:
    assert read(bare, ISSUER=url).oidc_issuer == url


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ISSUER", "http://id.example", "must begin with https://, unless the host is a loopback address"),
        ("ISSUER", "http://127.0.0.1.example", "must begin with https://"),
        ("ISSUER", "id.example", "must be a URL such as https://id.example/realms/acme"),
        ("ISSUER", "ftp://id.example", "must be a URL"),
        ("ISSUER", "file:///etc/passwd", "must be a URL"),
        ("ISSUER", "https://", "must be a URL"),
        ("ISSUER", "https://id.example:x", "must be a URL"),
        ("ISSUER", "https://id.example/ a", "must be a URL"),
        ("ISSUER", "https://[id", "must be a URL"),
        ("ISSUER", "https://user:password@id.example", "must have neither a user nor a fragment"),
        ("ISSUER", "https://id.example/#a", "must have neither a user nor a fragment"),
        ("ISSUER", "https://id.example/?a=b", "must have no query"),
        ("JWKS_URL", "http://id.example/jwks", "must begin with https://"),
        ("AUDIENCES", " , ", "JOBPROC_OIDC_AUDIENCES is required with JOBPROC_OIDC_ISSUER"),
        ("ALGORITHMS", "", "must be one or more of RS256, RS384"),
        ("ALGORITHMS", "RS256,HS256", "must be one or more of"),
        ("ALGORITHMS", "none", "must be one or more of"),
        ("ALGORITHMS", "rs256", "must be one or more of"),
        ("LEEWAY_SECONDS", "301", "less than or equal to 300"),
        ("LEEWAY_SECONDS", "-1", "greater than or equal to 0"),
        ("JWKS_MIN_INTERVAL_SECONDS", "0", "greater than 0"),
        ("FETCH_TIMEOUT_SECONDS", "61", "less than or equal to 60"),
        ("SUBJECT_CLAIM", "", "at least 1 character"),
        ("TENANT_MAPPING", "{", "must be a JSON object: "),
        ("TENANT_MAPPING", "[]", "must be a JSON object"),
        ("TENANT_MAPPING", '{"a": 1}', "each value must be the name of a tenant"),
        ("TENANT_MAPPING", '{"a": "Not a name"}', "each value must be the name of a tenant"),
        ("DEFAULT_TENANT", "Not a name", "must be the name of a tenant"),
        ("TENANT_CLAIM", "", "JOBPROC_OIDC_DEFAULT_TENANT is required where JOBPROC_OIDC_TENANT_CLAIM is empty"),
        ("SCOPES_MAPPING", '{"a": "jobs:read"}', "each value must be a list of scopes"),
        ("SCOPES_MAPPING", '{"a": [1]}', "each value must be a list of scopes"),
        ("SCOPES_MAPPING", '{"a": ["jobs:all"]}', "unknown scopes: jobs:all; the scopes are jobs:read"),
        ("DEFAULT_SCOPES", "jobs:all", "unknown scopes: jobs:all"),
        ("DEFAULT_SCOPES", "jobs:read,admin", "admin cannot be a default; map a value of a claim to it"),
    ],
)
def test_a_bad_value_is_explained(bare: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    with pytest.raises(StartupError) as caught:
        read(bare, **{name: value})
    assert sentence in str(caught.value)
    assert f"JOBPROC_OIDC_{name}" in str(caught.value)
    assert "password" not in str(caught.value)


CLIENT = {"CLIENT_ID": "console", "REDIRECT_URL": "https://jobs.example/console/session/callback"}


def test_a_client_needs_an_id_and_the_url_to_come_back_to(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare, **CLIENT, SIGN_IN_PARAMETERS='{"audience": "https://jobproc.example/"}')
    assert settings.oidc_sign_in_scope == "openid"
    assert settings.sign_in_parameters == {"audience": "https://jobproc.example/"}
    assert read(bare, REDIRECT_URL="http://127.0.0.1:8000/teams/jobs/console/session/callback").oidc_client_id


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ISSUER", "", "JOBPROC_OIDC_CLIENT_ID needs JOBPROC_OIDC_ISSUER"),
        ("REDIRECT_URL", "", "JOBPROC_OIDC_REDIRECT_URL is required with JOBPROC_OIDC_CLIENT_ID"),
        ("REDIRECT_URL", "http://jobs.example/console/session/callback", "must begin with https://"),
        ("REDIRECT_URL", "https://jobs.example/console", "must end with /console/session/callback"),
        ("REDIRECT_URL", "https://jobs.example/?a=/console/session/callback", "must end with"),
        ("SIGN_IN_SCOPE", "profile", "must have openid"),
        ("SIGN_IN_PARAMETERS", "[]", "must be a JSON object"),
        ("SIGN_IN_PARAMETERS", '{"prompt": 1}', "each value must be a text"),
        ("SIGN_IN_PARAMETERS", '{"redirect_uri": "https://evil.example"}', "the API sets redirect_uri itself"),
        ("SIGN_IN_SECONDS", "1", "JOBPROC_OIDC_SIGN_IN_SECONDS"),
    ],
)
def test_a_bad_setting_of_the_client_ends_the_start(
    bare: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(StartupError) as caught:
        read(bare, **{**CLIENT, name: value})
    assert sentence in str(caught.value)
