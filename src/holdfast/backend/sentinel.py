"""Finding the primary through sentinels, for every connection anew, so that a failover is followed."""

from __future__ import annotations

from dataclasses import replace

from hiredis import ReplyError

from holdfast.backend.failures import WireBroken, code_of
from holdfast.backend.link import Ask, Colour
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError

_ROLE = Command(("ROLE",), (), True)


class Primary:
    """Knows the sentinels of one service, and asks the one that answered last first."""

    def __init__(self, topology: Topology, colour: Colour) -> None:
        self._service = topology.name
        self._colour = colour
        self._sentinels = list(topology.addresses)
        own = {name: value for name, value in topology.connection.items() if name in _SHARED or name.startswith("ssl")}
        self._topology = replace(topology, kind="single", connection={**own, **topology.sentinel})

    async def find(self) -> Address:
        """Return the primary's address.

        Raises:
            WireBroken: no sentinel knows it now.
            BackendError: no sentinel knows the service, or they refuse us.
        """
        question = Command(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service), (), True)
        refused: BackendError | None = None
        for sentinel in tuple(self._sentinels):
            try:
                reply = await self._colour.ask_once(self._topology, sentinel, question)
            except WireBroken:
                continue
            except BackendError as error:
                refused = error
                continue
            if reply is not None and type(reply) is not ReplyError:
                host, port = reply
                self._sentinels.sort(key=lambda known: known != sentinel)
                return host.decode(), int(port)
            refused = self._refusal(reply)
        if refused is not None:
            raise refused
        raise WireBroken("refused", sent=False, detail="no sentinel answered")

    def _refusal(self, reply: Reply) -> BackendError:
        if isinstance(reply, ReplyError):
            return BackendError(f"the sentinels of {self._service!r} refused to answer ({code_of(reply)})")
        return BackendError(f"the sentinels do not know {self._service!r}: check the service in the URL")

    async def verify(self, ask: Ask) -> None:
        """Make sure that the server just connected is a primary; a sentinel may lag behind."""
        reply = await ask(_ROLE)
        if type(reply) is not ReplyError and reply[0] != b"master":
            raise WireBroken("refused", sent=False, detail="it is a replica, waiting for the sentinels to agree")


_SHARED = frozenset({"socket_timeout", "socket_connect_timeout", "socket_keepalive", "protocol", "client_name"})
"""Options of the URL that hold for the sentinels too; credentials are the primary's unless named `sentinel_*`."""
