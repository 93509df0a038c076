"""One redis-server of the tests' own: without persistence, on loopback, in a folder that goes away with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from urllib.parse import quote

from support.certificates import make_certificates
from support.ports import free_port
from support.programs import Program
from support.recording import Recording, recorded
from support.server import Server


class Standalone(Server):
    """A redis-server.

    Args:
        program: which redis-server.
        name: what to call it in messages.
        password: what clients must authenticate with.
        tls: listen with TLS too, see `tls_url`; needs a program that `speaks_tls`.
        socket: listen on a Unix socket too, see `unix_url`.
        options: more configuration directives and their values, such as ``{"maxmemory": "4mb"}``.
    """

    def __init__(
        self,
        program: Program,
        *,
        name: str = "server",
        password: str = "",
        tls: bool = False,
        socket: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(program, name, password)
        self.tls_port = 0
        self.socket_path = self.folder / "socket" if socket else None
        self.certificates = make_certificates(self.folder) if tls else None
        self._options = dict(options or {})

    @property
    def url(self) -> str:
        """Return the URL of database 0."""
        return f"redis://{self._credentials()}{self.host}:{self.port}/0"

    @property
    def tls_url(self) -> str:
        """Return the URL of database 0 over TLS, with the authority to trust."""
        if self.certificates is None:
            msg = "this server was made without tls=True"
            raise RuntimeError(msg)
        trust = f"ssl_ca_certs={quote(str(self.certificates.authority))}"
        return f"rediss://{self._credentials()}{self.host}:{self.tls_port}/0?{trust}"

    @property
    def unix_url(self) -> str:
        """Return the URL of database 0 over the Unix socket."""
        if self.socket_path is None:
            msg = "this server was made without socket=True"
            raise RuntimeError(msg)
        return f"unix://{self._credentials()}{self.socket_path}?db=0"

    def commandstats(self) -> dict[str, int]:
        """Return how often each command was called since the start or CONFIG RESETSTAT, by its name."""
        found = self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(numbers["calls"]) for name, numbers in found.items()}

    def monitor(self, containing: str = "") -> AbstractContextManager[Recording]:
        """Record the commands that the server sees during a block, or those with a word that contains some text."""
        return recorded([self.client], containing)

    def _credentials(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def _take_ports(self) -> None:
        super()._take_ports()
        self.tls_port = free_port() if self.certificates else 0

    def _words(self) -> list[str]:
        directives = {"port": str(self.port), "bind": self.host, "dir": str(self.folder)}
        directives |= {"save": "", "appendonly": "no"} | self._access() | self._options
        return [str(self.program.path), *(word for name, value in directives.items() for word in (f"--{name}", value))]

    def _access(self) -> dict[str, str]:
        directives = {}
        if self.program.knows("enable-debug-command", "yes"):  # an older one has no lock on DEBUG
            directives["enable-debug-command"] = "yes"
        if self.password:
            directives |= {"requirepass": self.password, "masterauth": self.password}
        if self.socket_path is not None:
            directives["unixsocket"] = str(self.socket_path)
        if self.certificates is not None:
            directives |= {
                "tls-port": str(self.tls_port),
                "tls-cert-file": str(self.certificates.certificate),
                "tls-key-file": str(self.certificates.key),
                "tls-ca-cert-file": str(self.certificates.authority),
                "tls-auth-clients": "no",
            }
        return directives
