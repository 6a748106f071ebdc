"""TLS in front of the test's PostgreSQL and Redis, which have none themselves."""

import asyncio
import contextlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rig.proxy import Proxy

_NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
#: As PostgreSQL says it to a user whose line of pg_hba.conf has `clientcert=verify-ca`.
_NO_CERTIFICATE = b"SFATAL\0VFATAL\0C28000\0Mconnection requires a valid client certificate\0\0"


class Authority:
    """An authority with a root certificate, which signs the certificates of servers and clients."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.file, self._key = folder / "ca.crt", folder / "ca.key"
        usage = "-addext keyUsage=critical,keyCertSign,cRLSign"  # without it Python 3.13 trusts no authority
        _openssl(f"req -x509 {_NEW_KEY} -days 2 -subj /CN=authority {usage}", keyout=self._key, out=self.file)

    def context(self) -> ssl.SSLContext:
        """Return the client's side of TLS, which trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def sign(self, name: str, host: str = "localhost") -> "SignedCertificate":
        """Return a new certificate, which `name` holds; of a server it has the name of a host."""
        file, key, request = (self._folder / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        names = self._folder / f"{name}.names"
        names.write_text(f"subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        _openssl(f"req -new {_NEW_KEY} -subj /CN={name}", keyout=key, out=request)
        signing = {"in": request, "CA": self.file, "CAkey": self._key, "extfile": names}
        _openssl("x509 -req -CAcreateserial -days 2", **signing, out=file)
        return SignedCertificate(file, key, self.file)


@dataclass(frozen=True)
class SignedCertificate:
    """The files of a certificate, of its key, and of the root certificate."""

    file: Path
    key: Path
    root: Path

    def context(self, verify: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
        """Return the server's side of TLS. `verify`: whether it asks clients for a certificate of the same root."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        context.load_verify_locations(self.root)
        context.verify_mode = verify
        return context


def _openssl(command: str, **files: Path) -> None:
    arguments = [part for name, file in files.items() for part in (f"-{name}", str(file))]
    subprocess.run(["openssl", *command.split(), *arguments], check=True, capture_output=True)


class Certificate:
    """A self-signed certificate of a server on this machine, made by openssl."""

    def __init__(self, folder: Path) -> None:
        self.file, self.key = folder / "server.crt", folder / "server.key"
        arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        names = ["-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(self.key), "-out", str(self.file)]
        subprocess.run(["openssl", *arguments.split(), *names, *files], check=True, capture_output=True)

    def context(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


class PostgresTlsProxy(Proxy):
    """A proxy whose clients ask for TLS as PostgreSQL's do, by a message before it."""

    def __init__(
        self, target: int, certificate: Certificate | SignedCertificate, *, asks_clients: bool = False
    ) -> None:
        """`asks_clients`: clients need a certificate of the same root."""
        self._asks_clients = asks_clients
        if isinstance(certificate, SignedCertificate):
            self._context = certificate.context(ssl.CERT_OPTIONAL)
        else:
            self._context = certificate.context()
        super().__init__(target)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(8)  # SSLRequest
            writer.write(b"S")
            await writer.start_tls(self._context)
        except (OSError, EOFError):  # the client does not trust the certificate
            with contextlib.suppress(OSError):
                writer.transport.abort()
            return
        if self._asks_clients and not writer.get_extra_info("ssl_object").getpeercert():
            await reader.read(1_024)  # the user and the database
            writer.write(b"E" + (len(_NO_CERTIFICATE) + 4).to_bytes(4, "big") + _NO_CERTIFICATE)
            await writer.drain()
            writer.close()
            return
        await super()._accept(reader, writer)
