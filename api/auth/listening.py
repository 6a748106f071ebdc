"""The addresses on which an API without authentication may listen."""

from common.domain.errors import StartupError
from common.server_urls.addresses import is_loopback
from common.settings import Settings
from common.settings.access.authentication import Authentication
from common.telemetry import logs

log = logs.get("api")


def check_authentication(settings: Settings, host: str) -> None:
    """Log it if authentication is off.

    Raises StartupError if callers from other machines could then do everything, or if JOBPROC_OIDC_CA_FILE is no file
    of certificates.
    """
    if settings.oidc_ca_file:
        from api.auth.openid.fetch import trusted

        trusted(settings.oidc_ca_file)
    if settings.authentication is not Authentication.OFF:
        return
    if not is_loopback(host) and not settings.unauthenticated_network:
        raise StartupError(
            f"JOBPROC_AUTHENTICATION is off, so every client that reaches {host} could do everything: "
            "listen on 127.0.0.1, or set JOBPROC_UNAUTHENTICATED_NETWORK=true if that is what you want"
        )
    log.warning("authentication_off", host=host)
