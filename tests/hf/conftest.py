"""Small models want one thread: two, whose pool waits by spinning, are slower beside other work."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
