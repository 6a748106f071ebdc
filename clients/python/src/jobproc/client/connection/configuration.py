"""The configuration of a client: arguments, then variables of the environment, then a profile."""

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from jobproc.client.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 10.0
#: Variables of the environment, and the fields that they set.
VARIABLES = {
    "JOBPROC_URL": "url",
    "JOBPROC_API_KEY": "api_key",
    "JOBPROC_CA_FILE": "ca_file",
    "JOBPROC_PROXY": "proxy",
    "JOBPROC_OIDC_ISSUER": "oidc_issuer",
    "JOBPROC_OIDC_CLIENT_ID": "oidc_client_id",
    "JOBPROC_OIDC_CLIENT_SECRET": "oidc_client_secret",
    "JOBPROC_OIDC_SCOPE": "oidc_scope",
    "JOBPROC_OIDC_AUDIENCE": "oidc_audience",
}
PROFILE = "JOBPROC_PROFILE"
CONFIG_FILE = "JOBPROC_CONFIG_FILE"
DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The place of an API, and how a client speaks with it."""

    url: str = DEFAULT_URL  #: with the base path, if it has one; without a slash at the end
    api_key: str = ""
    oidc_issuer: str = ""  #: an OpenID provider that gives tokens for client credentials
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_scope: str = ""
    oidc_audience: str = ""
    ca_file: str = ""  #: the authorities that may certify the API; empty: those of the system
    proxy: str | None = None  #: None: those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY
    timeout_s: float = TIMEOUT_S  #: of each request that does not wait


def configuration(
    arguments: Mapping[str, str | float | None], environment: Mapping[str, str] = os.environ
) -> Configuration:
    """Return the configuration: each field is the argument, else the variable, else that of the profile.

    `arguments` may have `profile`. Raises ConfigurationError.
    """
    given = dict(arguments)
    named = str(given.pop("profile", None) or environment.get(PROFILE) or "")
    values: dict[str, str | float] = dict(profile(named, environment))
    variables = {field: environment[name] for name, field in VARIABLES.items() if environment.get(name)}
    for layer in (variables, {field: value for field, value in given.items() if value is not None}):
        for kind, other in (("api_key", "oidc_issuer"), ("oidc_issuer", "api_key")):
            if layer.get(kind):  # credentials of one kind replace those of the other kind of an earlier layer
                values.pop(other, None)
        values |= layer
    made = Configuration(**values)  # type: ignore[arg-type]  # the profile and the arguments have only these fields
    return replace(made, url=_checked(made).url.rstrip("/"))


def profile(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a profile; without a name those of `default`, if there is one. Raises ConfigurationError."""
    file = config_file(environment)
    if not file.is_file():
        if name:
            raise ConfigurationError(f"profile {name!r}: the file {file} does not exist")
        return {}
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8")).get("profiles", {})
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    if (name or DEFAULT_PROFILE) not in profiles:
        if name:
            raise ConfigurationError(f"{file} has no profile {name!r}, but: {', '.join(profiles) or 'none'}")
        return {}
    values = profiles[name or DEFAULT_PROFILE]
    known = {field.name for field in fields(Configuration)}
    unknown = sorted(set(values) - known) if isinstance(values, dict) else ["a value that is no table"]
    if unknown:
        raise ConfigurationError(
            f"{file}: profile {name or DEFAULT_PROFILE!r} may have {', '.join(sorted(known))}; unknown: "
            f"{', '.join(unknown)}"
        )
    return dict(values)


def config_file(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the file of the profiles: `jobproc/config.toml` in the configuration folder of the platform."""
    if named := environment.get(CONFIG_FILE):
        return Path(named)
    if platform == "win32":
        folder = Path(environment.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "jobproc" / "config.toml"


def _checked(made: Configuration) -> Configuration:
    """Return a configuration that can work. Raises ConfigurationError."""
    parts = urlsplit(made.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"url: http://host or https://host/prefix is expected, not {made.url!r}")
    if made.ca_file and not Path(made.ca_file).is_file():
        raise ConfigurationError(f"ca_file: {made.ca_file} is not a file")
    if made.api_key and made.oidc_issuer:
        raise ConfigurationError("api_key and oidc_issuer: only one of them is expected")
    if made.oidc_issuer and not (made.oidc_client_id and made.oidc_client_secret):
        raise ConfigurationError("oidc_issuer: oidc_client_id and oidc_client_secret are expected with it")
    if not isinstance(made.timeout_s, int | float) or made.timeout_s <= 0:
        raise ConfigurationError(f"timeout_s: a positive number of seconds is expected, not {made.timeout_s!r}")
    return made
