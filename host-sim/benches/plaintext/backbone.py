"""Trains a small network in the shape of MobileNetV2 on some classes of a folder of images, in the clear, and writes the part
that makes features as ONNX, for `ringlet train --backbone`.

    python3 backbone.py FOLDER OUT.onnx --classes airplane,bird --epochs 10

FOLDER has train/CLASS/* and test/CLASS/*. Needs PyTorch, Pillow, NumPy and onnx.
"""

import argparse
import pathlib

import numpy
import torch
from PIL import Image
from torch import nn


def load(folder, classes, size):
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            image = Image.open(path).convert("RGB").resize((size, size))
            images.append(numpy.asarray(image, dtype=numpy.uint8))
            labels.append(label)
    pixels = torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(labels)


class Block(nn.Module):
    """An inverted residual: widen, filter each channel by itself, narrow, and add the input where shapes allow."""

    def __init__(self, inputs, outputs, stride, widening=4):
        super().__init__()
        inner = inputs * widening
        self.adds = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.adds else y


def features(width=128):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        Block(16, 24, 1),
        Block(24, 24, 1),
        Block(24, 40, 2),
        Block(40, 40, 1),
        Block(40, 64, 2),
        Block(64, 64, 1),
        nn.Conv2d(64, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def accuracy(network, pixels, labels, normalise):
    network.eval()
    with torch.no_grad():
        right = sum(
            (network(normalise(x)).argmax(1) == y).sum().item()
            for x, y in zip(pixels.split(500), labels.split(500))
        )
    network.train()
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--classes", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    classes = args.classes.split(",")
    train = load(args.folder / "train", classes, args.size)
    test = load(args.folder / "test", classes, args.size)

    def normalise(x):
        return (x.float() / 255 - 0.5) / 0.25

    front = features()
    network = nn.Sequential(front, nn.Linear(128, len(classes)))
    optimiser = torch.optim.SGD(network.parameters(), args.rate, 0.9, weight_decay=5e-4, nesterov=True)
    steps = args.epochs * (len(train[1]) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, steps)
    for epoch in range(args.epochs):
        order = torch.randperm(len(train[1]))
        for rows in order[: len(order) // args.batch * args.batch].split(args.batch):
            x = normalise(train[0][rows])
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            top, left = torch.randint(0, 9, (2,)).tolist()
            x = nn.functional.pad(x, (4, 4, 4, 4))[:, :, top : top + args.size, left : left + args.size]
            loss = nn.functional.cross_entropy(network(x), train[1][rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: {100 * accuracy(network, *test, normalise):.2f} % of held-out images right", flush=True)
    front.eval()
    image = torch.zeros(1, 3, args.size, args.size)
    torch.onnx.export(front, (image,), args.out, input_names=["image"], output_names=["features"], dynamo=False)
    print(f"{args.out}: give it to ringlet with --normalise 0.5:0.25")


if __name__ == "__main__":
    main()
