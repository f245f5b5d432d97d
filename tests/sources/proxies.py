"""Proxies on loopback: HTTP with CONNECT, and SOCKS 5. They connect every host to the same server."""

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass, field

_SOCKS_VERSION, _NO_LOGIN, _LOGIN, _DOMAIN, _IPV4 = 5, 0, 2, 3, 1


@dataclass
class Proxy:
    """A proxy that leads to `port` of this machine, `asked` for hosts; with `login` it wants credentials."""

    port: int
    asked: list[str] = field(default_factory=list[str])
    login: bytes = b""
    refuse: bool = False
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server
        self._server.close()

    @property
    def host(self) -> str:
        assert self._server
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            if await self.greet(reader, writer):
                there, away = await asyncio.open_connection("127.0.0.1", self.port)
                await asyncio.gather(_copy(reader, away), _copy(there, writer))
        writer.close()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raise NotImplementedError


class HttpProxy(Proxy):
    """RFC 9110, 9.3.6."""

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, host = head.split(b" ")[:2]
        assert method == b"CONNECT"
        self.asked.append(host.decode())
        if self.login and self.login not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif self.refuse:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            return True
        return False


class SocksProxy(Proxy):
    """RFC 1928, and RFC 1929 for `login`."""

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        version, methods = await reader.readexactly(2)
        assert version == _SOCKS_VERSION
        offered = await reader.readexactly(methods)
        if self.login:
            if _LOGIN not in offered:
                writer.write(bytes([_SOCKS_VERSION, 0xFF]))
                return False
            writer.write(bytes([_SOCKS_VERSION, _LOGIN]))
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            (length,) = await reader.readexactly(1)
            is_right = user + b":" + await reader.readexactly(length) == self.login
            writer.write(bytes([1, 0 if is_right else 1]))
            if not is_right:
                return False
        else:
            writer.write(bytes([_SOCKS_VERSION, _NO_LOGIN]))
        _, _, _, kind = await reader.readexactly(4)
        if kind == _DOMAIN:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        writer.write(bytes([_SOCKS_VERSION, 2 if self.refuse else 0, 0, _IPV4, 0, 0, 0, 0, 0, 0]))
        return not self.refuse


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
