"""A network of one process per node, that is late, loses packets, and can be cut: for root.

Every node is in a network namespace of its own, with a TUN device; another process carries the
packets between the devices. So nothing is wanted of the kernel that shapes traffic.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

from ranks import new_context, new_store

_NEW_NAMESPACE, _NEW_TUN, _TUN_WITHOUT_HEADER = 0x40000000, 0x400454CA, 0x1001
_MTU = 9000


def address(node: int) -> str:
    return f"10.9.0.{node + 1}"


class Network:
    """Nodes that reach each other through this network only.

    Parameters
    ----------
    nodes : int
    delay : float
        seconds that a packet takes
    loss : float
        which part of the packets is lost
    """

    def __init__(self, nodes: int, delay: float = 0.0, loss: float = 0.0) -> None:
        context = new_context()
        pairs = [context.Pipe() for _ in range(nodes)]
        self._doors = [door for door, _ in pairs]
        self._orders, orders = context.Pipe()
        ends = [end for _, end in pairs]
        self._carrier = context.Process(
            target=_carry, args=(ends, orders, delay, loss), daemon=True
        )
        self._carrier.start()

    def door(self, node: int) -> Door:
        """By which a process enters."""
        return Door(self._doors[node], node)

    def cut(self, node: int) -> None:
        """From now on nothing reaches the node, or comes from it."""
        self._orders.send(node)

    def close(self) -> None:
        self._carrier.kill()
        self._carrier.join()


class Door:
    """What a process calls first, before it has threads."""

    def __init__(self, end: Connection, node: int) -> None:
        self._end, self._node = end, node

    def __call__(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NAMESPACE):
            raise OSError(ctypes.get_errno(), "no network namespace")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _NEW_TUN, struct.pack("16sH22x", b"eth0", _TUN_WITHOUT_HEADER))
        for command in (
            f"addr add {address(self._node)}/24 dev eth0",
            f"link set eth0 mtu {_MTU} up",
            "link set lo up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
        send_handle(self._end, device, os.getpid())


def _carry(ends: Sequence[Connection], orders: Connection, delay: float, loss: float) -> None:
    devices = [recv_handle(end) for end in ends]
    node_of = {device: node for node, device in enumerate(devices)}
    draw, number = random.Random(0), 0
    cut: set[int] = set()
    late: list[tuple[float, int, int, bytes]] = []  # when, in which order, where, what
    while True:
        wait = None if not late else max(0.0, late[0][0] - time.monotonic())
        ready, _, _ = select.select([*devices, orders.fileno()], [], [], wait)
        for source in ready:
            if source == orders.fileno():
                cut.add(orders.recv())
                continue
            for packet in _packets(source):
                target = packet[19] - 1
                apart = not 0 <= target < len(devices) or cut & {target, node_of[source]}
                if not apart and draw.random() >= loss:
                    number += 1
                    heapq.heappush(late, (time.monotonic() + delay, number, target, packet))
        while late and late[0][0] <= time.monotonic():
            *_, target, packet = heapq.heappop(late)
            with suppress(OSError):  # the node has ended, or takes no more now
                os.write(devices[target], packet)


def _packets(device: int, most: int = 64) -> list[bytes]:
    """Those of IPv4 that wait."""
    found: list[bytes] = []
    for _ in range(most):
        try:
            packet = os.read(device, _MTU + 100)
        except OSError:
            break
        if packet[0] >> 4 == 4:
            found.append(packet)
    return found


def serve_store(door: Door, path: str) -> None:
    """A node for the store alone."""
    door()
    store: Any = new_store()
    Path(path).write_text(str(store.port))
    threading.Event().wait()
