"""A socket that takes connections, and a way to have it take no more without losing those it has taken.

The kernel completes handshakes by itself: closing a listening socket resets the connections that wait in its queue, and
while one process empties the queue new ones come in. On Linux a socket filter drops packets that open a connection,
so that the queue can be emptied for good. A client whose packet was dropped sends it again, and reaches whoever
listens there by then.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

from pynomaly_pipelines.operations.errors import SettingsError

BACKLOG = 2048
HANDSHAKE_SECONDS = 0.25
"""How long handshakes under way are given to complete: a round trip around the globe."""

# Classic BPF over the TCP header: load byte 13 (the flags); SYN set: keep 0 bytes; else keep all.
_WITHOUT_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26
_UNACKED_OFFSET = 24  # tcp_info.tcpi_unacked: for a listening socket, the connections that wait to be accepted.


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"{host}:{port} can't be listened on: {error.strerror}",
            rule="the address is one of this machine's, and the port is free",
            fix="choose another: `pynomaly serve --port 0` takes a free one",
        ) from error
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def refuse_new(listening: socket.socket) -> bool:
    """Let no further connection begin; those begun go on. Returns whether the system could do it."""
    if sys.platform != "linux":
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _WITHOUT_SYN)
    steps = ctypes.create_string_buffer(program, len(program))
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_WITHOUT_SYN), ctypes.addressof(steps))
        )
    except OSError:
        return False
    return True


def waiting(listening: socket.socket) -> int:
    """How many connections wait to be accepted; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_OFFSET + 4)
    return int(struct.unpack_from("I", info, _UNACKED_OFFSET)[0])
