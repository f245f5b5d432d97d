"""Probe the health of a process: by HTTP, by a TCP connection, or by gRPC health checking.

Called by wiring.local. runtimes.local uses it through ports.probe. Each probe opens and closes its own connection.

Invariant: a probe never raises, whatever the other side does; the answer is None or one line. Held by
tests/observe/test_probes.py.
Refused: keeping connections between probes. llama.cpp's server closes idle ones after 5 s, so every second probe would
fail for no reason, and a server that accepts no new connections would pass.
"""

import asyncio
import contextlib
import errno
import json

import aiohttp
from grpclib.encoding.base import CodecBase

from bateau.domain.process import ProbeTarget
from bateau.kit.json_value import is_object
from bateau.kit.suggest import listed
from bateau.observe.listeners import listeners
from bateau.ports.probe import NO_ANSWER

REFUSED = "connection refused"
BODY_BYTES_MAX = 2048
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
SAID_CHARACTERS_MAX = 120
GRPC_HEALTH_METHOD = "/grpc.health.v1.Health/Check"
# HealthCheckResponse.ServingStatus of grpc/health/v1/health.proto; the answer is field 1, a varint.
GRPC_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
GRPC_SERVING = 1


class NetworkProber:
    """Probes over loopback and unix sockets; satisfies `bateau.ports.probe.Prober`."""

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return None if the target is healthy, otherwise the failure in one line. Never raises."""
        try:
            async with asyncio.timeout(timeout_s):
                if target.kind == "http":
                    return await _ask_http(target)
                if target.kind == "tcp":
                    return await _ask_tcp(target)
                return await _ask_grpc(target)
        except TimeoutError:
            return f"{NO_ANSWER} within {timeout_s:g} s"
        except OSError as error:
            return await asyncio.to_thread(_said_of, error, target)
        except ValueError:
            return f"cannot be probed: {target.address!r} is not an address"


async def _ask_http(target: ProbeTarget) -> str | None:
    """2xx and 3xx are healthy, as for the probes of Kubernetes; a redirect is not followed."""
    unix = _is_path(target.address)
    connector: aiohttp.BaseConnector
    if unix:
        connector = aiohttp.UnixConnector(target.address, force_close=True)
    else:
        connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
    url = f"http://{'localhost' if unix else target.address}{target.path}"
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        try:
            async with session.get(url, allow_redirects=False) as response:
                if 200 <= response.status < 400:  # noqa: PLR2004 - RFC 9110, section 15
                    return None
                body = await response.content.read(BODY_BYTES_MAX)
                said = _said_in(body) or response.reason or ""
                return f"answered {response.status}: {said}" if said else f"answered {response.status}"
        except aiohttp.ClientConnectorError as error:
            raise error.os_error from error
        except aiohttp.InvalidURL as error:
            raise ValueError(str(error)) from error
        except aiohttp.ServerDisconnectedError:
            return "closed the connection without an answer"
        except aiohttp.ClientResponseError:
            return "answered, but not in HTTP"
        except aiohttp.ClientError as error:
            return _one_line(f"broke off: {error or type(error).__name__}")


async def _ask_tcp(target: ProbeTarget) -> str | None:
    if _is_path(target.address):
        _, writer = await asyncio.open_unix_connection(target.address)
    else:
        host, port = _host_and_port(target.address)
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None


async def _ask_grpc(target: ProbeTarget) -> str | None:
    """Request the health of the whole server, as in the gRPC health checking protocol (service name "")."""
    from grpclib.client import Channel, UnaryUnaryMethod  # slow to import, and most probes do not need it
    from grpclib.const import Status
    from grpclib.exceptions import GRPCError, StreamTerminatedError

    if _is_path(target.address):
        channel = Channel(path=target.address, codec=_Bytes())
    else:
        channel = Channel(*_host_and_port(target.address), codec=_Bytes())
    check = UnaryUnaryMethod(channel, GRPC_HEALTH_METHOD, bytes, bytes)
    try:
        answer = await check(b"")
    except StreamTerminatedError:
        return "closed the connection without an answer"
    except GRPCError as error:
        if error.status is Status.UNIMPLEMENTED:
            return "does not implement the gRPC health service (grpc.health.v1.Health)"
        return _one_line(f"answered {error.status.name}: {error.message or ''}")
    finally:
        channel.close()
    status = answer[1] if len(answer) > 1 and answer[0] == 0x08 else 0  # noqa: PLR2004 - key of field 1, varint
    return None if status == GRPC_SERVING else f"answered {GRPC_STATUSES.get(status, f'status {status}')}"


class _Bytes(CodecBase):
    """Messages as they are sent."""

    @property
    def __content_subtype__(self) -> str:
        return "proto"

    def encode(self, message: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - as in grpclib
        return message

    def decode(self, data: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - as in grpclib
        return data


def _is_path(address: str) -> bool:
    return address.startswith("/")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError("no port")
    return host.strip("[]"), int(port)


def _said_of(error: OSError, target: ProbeTarget) -> str:
    if error.errno == errno.ECONNREFUSED:
        host, _, port = target.address.rpartition(":")
        # "localhost" is [::1] for some programs, and 127.0.0.1 for the gateway.
        elsewhere = [f"{each}:{port}" for each in listeners(int(port))] if host in _LOOPBACK else []
        if not elsewhere:
            return REFUSED
        return f"{REFUSED}: the program listens on {listed(elsewhere)}, and must listen on {target.address}"
    if error.errno == errno.ENOENT:
        return f"{REFUSED}: its socket does not exist"
    return _one_line(f"cannot be reached: {error.strerror or error}")


def _said_in(body: bytes) -> str:
    """Return the message of an error body: that of OpenAI's format, or the first line of a text."""
    text = body.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError):
        tree: object = json.loads(text)
        for name in ("error", "message", "detail"):
            if is_object(tree) and name in tree:
                tree = tree[name]
        if isinstance(tree, str):
            return _one_line(tree)
    return "" if text.startswith("<") else _one_line(text)


def _one_line(text: str) -> str:
    line = text.strip().partition("\n")[0].strip()
    return line if len(line) <= SAID_CHARACTERS_MAX else f"{line[:SAID_CHARACTERS_MAX]}..."
