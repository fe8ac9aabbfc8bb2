"""How the scripts beside this one compare a result with plain PyTorch."""

import sys

import torch


def compare(
    what: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float = 0.02
) -> None:
    """Prints the share of elements that agree, and ends the script where it is below 99.9%."""
    found, expected = found.cpu().double(), expected.cpu().double()
    if found.shape != expected.shape:
        sys.exit(f"{what}: shape {list(found.shape)}, expected {list(expected.shape)}")
    near = torch.isclose(found, expected, rtol=tolerance, atol=tolerance / 20)
    share = near.double().mean().item()
    print(f"{what}: {100 * share:.3f}% of {found.numel()} elements agree")
    if not share >= 0.999:
        sys.exit(f"{what}: expected at least 99.9%")
