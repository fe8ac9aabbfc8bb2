"""A program for torchrun: decodes, and loses a rank in its first life where it is told to.

python -m torch.distributed.run ... restarted.py FILE [RANK:STEP]
"""

from __future__ import annotations

import os
import signal
import sys

import torch
import torch.distributed as dist
from faults import Decoder

from tamis.distributed import ContextGroup

STEPS = 12


def start(life: int) -> None:
    """The agent's store still has the addresses of an earlier life: each gets a part of it."""
    if os.environ["TORCHELASTIC_USE_AGENT_STORE"] != "True":
        dist.init_process_group("gloo")
        return
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.PrefixStore(f"life {life}", dist.TCPStore(*address, is_master=False))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)


def main() -> None:
    torch.set_num_threads(1)
    path, fault = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "-1:0"
    rank, last = map(int, fault.split(":"))
    life = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    start(life)
    group = ContextGroup(page_size=16, timeout=10, join_timeout=60)
    decoder = Decoder(group)
    outs = []
    for step in range(STEPS):
        if life == 0 and (group.rank, step) == (rank, last):
            os.kill(os.getpid(), signal.SIGKILL)
        outs.append(decoder.dealt(decoder.x[step, None], [1], decoder.cache))
    torch.save((life, decoder.cache.lengths, torch.cat(outs)), f"{path}{group.rank}")
    group.close()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
