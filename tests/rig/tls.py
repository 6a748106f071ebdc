"""TLS in front of the test's PostgreSQL and Redis, which have none themselves."""

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

from rig.proxy import Proxy


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

    def __init__(self, target: int, certificate: Certificate) -> None:
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
        await super()._accept(reader, writer)
