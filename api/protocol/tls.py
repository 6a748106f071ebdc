"""TLS of the API itself: its certificate, loaded again when its files change, and the certificates of its clients."""

import asyncio
import ssl
from pathlib import Path
from typing import NoReturn

from common.domain.errors import StartupError
from common.settings import PREFIX, Settings
from common.telemetry import logs

log = logs.get("api")
CHECK_INTERVAL_S = 1.0
#: What tells a changed file from the one that was loaded; None: it cannot be found.
_Stamp = tuple[int, int, int] | None


class ServerTls:
    """The TLS of new connections. Open connections keep the certificate with which they began."""

    def __init__(self, settings: Settings) -> None:
        """Load the files. Raises StartupError with one sentence if they cannot be used."""
        self._certificate, self._key = settings.tls_certificate_file, settings.tls_key_file
        self._client_ca = settings.tls_client_ca_file
        self._stamps = self._seen = self._current_stamps()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        if reason := self._load_problem():
            raise StartupError(reason)
        if self._client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
        self._load(self.context)

    async def watch(self) -> None:
        """Load changed files within two seconds, until cancelled. Files that do not fit leave the earlier ones."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.check()

    def check(self) -> None:
        """Load the files if they have changed, and have stayed the same since the last check.

        Certificate and key are two files, which are not replaced at once.
        """
        before, self._seen = self._seen, self._current_stamps()
        if self._seen != before or self._seen == self._stamps:
            return
        self._stamps = self._seen
        if reason := self._load_problem():
            log.warning("tls_certificate_refused", reason=reason)
            return
        self._load(self.context)
        log.info("tls_certificate_loaded", file=self._certificate)

    def _load_problem(self) -> str | None:
        """Return why the files cannot be used. They are loaded into a context of their own, which is dropped."""
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except FileNotFoundError:
            return (
                f"a file of {PREFIX}TLS_CERTIFICATE_FILE, {PREFIX}TLS_KEY_FILE, {PREFIX}TLS_CLIENT_CA_FILE is missing"
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            return f"the files of {PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE cannot be used: {reason}"
        return None

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._certificate, self._key, password=_refuse_password)
        if self._client_ca:
            context.load_verify_locations(self._client_ca)

    def _current_stamps(self) -> list[_Stamp]:
        return [_stamp(file) for file in (self._certificate, self._key, self._client_ca)]


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the TLS of the API; None: it serves HTTP. Raises StartupError."""
    return ServerTls(settings) if settings.tls_certificate_file else None


def _stamp(file: str) -> _Stamp:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _refuse_password() -> NoReturn:
    raise ValueError("the key has a password; write it without one")  # else OpenSSL asks at the terminal
