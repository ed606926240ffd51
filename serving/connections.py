"""HTTP connections that answer at once, and are closed when a request's head does not come."""

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol with so many seconds for the head of the first request, and of a request that has begun."""

    class PatientProtocol(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # asyncio does so only for sockets that name their protocol; without, an answer's body waits 40 ms.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering and self._waiting:
                self._waiting.cancel()
                self._waiting = None
            elif not answering and self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self._give_up)

        def on_response_complete(self) -> None:
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._waiting:
                self._waiting.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol
