#!/usr/bin/env python3
"""Seconds of a training iteration in the clear, by PyTorch: what an iteration of `ringlet train` is compared with.

    python3 host-sim/benches/plaintext/iteration.py [--threads 2] [--batch 128] [MODEL ...]

The networks are Ringlet's built-in ones, in 32-bit floats, with random images of their shape. A line for each: the
median over runs of the seconds an iteration takes, with gradients and the update, and the least and the most.
Needs torch; not part of the tests.
"""

import argparse
import statistics
import time

import torch
from torch import nn


def flat(*units):
    """Dense layers with ReLU between them, on flattened 28x28 images."""
    layers = [nn.Flatten()]
    sides = (784, *units)
    for inputs, outputs in zip(sides, sides[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def pooled(first, second, units):
    """Two convolutions of 5x5 with maximum pooling, then dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, first, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(first, second, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * second, units), nn.ReLU(), nn.Linear(units, 10),
    )


MODELS = {
    "convnet1": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(6272, 10),
    ),
    "convnet2": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 10),
    ),
    "securenn-a": lambda: flat(128, 128, 10),
    "securenn-b": lambda: pooled(16, 16, 100),
    "securenn-c": lambda: pooled(20, 50, 500),
    "securenn-d": lambda: nn.Sequential(
        nn.Conv2d(1, 5, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(980, 100), nn.ReLU(), nn.Linear(100, 10),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    unknown = [name for name in args.models if name not in MODELS]
    if unknown:
        parser.error(f"no model is called {unknown[0]}: {', '.join(MODELS)}")
    torch.set_num_threads(args.threads)
    for name in args.models or MODELS:
        torch.manual_seed(1)
        model = MODELS[name]()
        optimiser = torch.optim.SGD(model.parameters(), lr=1 / 32, momentum=0.9)
        images = torch.rand(args.batch, 1, 28, 28)
        labels = torch.randint(10, (args.batch,))
        seconds = []
        for run in range(args.runs + 3):
            start = time.perf_counter()
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimiser.step()
            # The first runs set the library up.
            if run >= 3:
                seconds.append(time.perf_counter() - start)
        parameters = sum(weight.numel() for weight in model.parameters())
        print(
            f"{name:12} {parameters:7} parameters, {args.threads} threads:"
            f" {statistics.median(seconds):.4f} s ({min(seconds):.4f} to {max(seconds):.4f})"
        )


if __name__ == "__main__":
    main()
