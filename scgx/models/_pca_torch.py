"""Covariances on a graphics card: blocks are sent to it, and only their sum comes back."""

from collections.abc import Iterable

import numpy as np
import torch

from scgx.learn.loop import require_device


def second_moment(
    blocks: Iterable[np.ndarray], width: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over rows of x x^T (width, width) and of x (width,), float64, of dense blocks.

    DataError where the machine has no such device.
    """
    require_device(device)
    there = torch.device(device)
    second = torch.zeros((width, width), dtype=torch.float64, device=there)
    total = torch.zeros(width, dtype=torch.float64, device=there)
    for block in blocks:
        sent = torch.from_numpy(block).to(there, torch.float64)
        second.addmm_(sent.T, sent)
        total += sent.sum(dim=0)
    return second.cpu().numpy(), total.cpu().numpy()
