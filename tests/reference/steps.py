"""Weights after some steps of training, in float64: the reference for the tests of `float64.rs`.

It is written from the definitions alone and shares no code with Ringlet: layers as networks.json lists them, cross
entropy, the mean over the batch, and momentum as in PyTorch's SGD (v = momentum v + gradient, w = w - rate v), with its weight
decay, label smoothing, Nesterov's momentum, gradients clipped by value and class weights where networks.json has them. The
weighted losses are divided by the number of samples. Each step takes all samples. No test runs it; to make weights.f32 again:

    python3 tests/reference/steps.py            # needs numpy
    python3 tests/reference/steps.py --check    # compares the gradients with differences of the loss
    python3 tests/reference/steps.py --seeds    # finds the seeds of networks.json

A gradient jumps where a ReLU's input crosses 0, and where the largest value of a window changes. No rounding is small
enough for a value that is close to such a place. So the seeds are the first under which the first eight steps keep a
distance of 2^-18, 4 units with 20 fraction bits.
"""

import gzip
import itertools
import json
import math
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
DIGITS = HERE.parent.parent / "host-sim" / "digits8"
PIXELS, LABELS, CLASSES, WEIGHTS, BIASES = range(5)


def draw(network, what, layer, count):
    """`count` numbers of 64 bits: SplitMix64 (Steele, Lea and Flood, 2014) by counter."""
    seed = np.uint64(network << 32 | layer << 8 | what)
    with np.errstate(over="ignore"):
        z = (seed << np.uint64(16)) + np.arange(1, count + 1, dtype=np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def samples(number, network):
    """Images of bytes and their labels."""
    count, shape = network["samples"], network["model"]["input"]
    if network["digits"]:
        read = lambda name: np.frombuffer(gzip.open(DIGITS / name).read(), np.uint8)
        pixels = read("train-images-idx3-ubyte.gz")[16:]
        labels = read("train-labels-idx1-ubyte.gz")[8:]
        size = math.prod(shape)
        return pixels[: count * size].reshape([count] + shape), labels[:count]
    size, classes = math.prod(shape), network["model"]["layers"][-1]["dense"]["units"]
    labels = draw(number, LABELS, 0, count) % np.uint64(classes)
    noise = draw(number, PIXELS, 0, count * size).reshape(count, size)
    of_class = draw(number, CLASSES, 0, classes * size).reshape(classes, size)
    pixels = (noise >> np.uint64(57)) + (of_class[labels.astype(int)] >> np.uint64(57))
    return pixels.reshape([count] + shape), labels


def uniform(network, what, layer, bound, shape):
    """Multiples of 2^-20 between -bound and bound, which has that unit."""
    signed = (draw(network, what, layer, math.prod(shape)) >> np.uint64(32)).astype(np.int64) - 2**31
    return (signed * bound >> 31).reshape(shape) / 2**20


class Conv:
    def __init__(self, network, layer, shape, channels, kernel, stride, padding):
        self.kernel, self.padding = ([n, n] if isinstance(n, int) else n for n in (kernel, padding))
        self.stride = stride
        inner = self.kernel + [shape[2]]
        bound = math.isqrt(6 * 2**40 // math.prod(inner))
        self.w = uniform(network, WEIGHTS, layer, bound, inner + [channels])
        self.b = uniform(network, BIASES, layer, 2**16, [channels])
        sides = zip(shape, self.padding, self.kernel)
        self.out = [(side + 2 * before - window) // stride + 1 for side, before, window in sides]
        self.shape = self.out + [channels]

    def taps(self, padded):
        """For each place in the kernel, the pixels that it meets, one for each output."""
        reach = [side * self.stride for side in self.out]
        for y in range(self.kernel[0]):
            for x in range(self.kernel[1]):
                yield (y, x), padded[:, y : y + reach[0] : self.stride, x : x + reach[1] : self.stride]

    def forward(self, x):
        rows, columns = self.padding
        self.x = np.pad(x, [[0, 0], [rows] * 2, [columns] * 2, [0, 0]])
        return self.b + sum(pixels @ self.w[at] for at, pixels in self.taps(self.x))

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        self.dw, self.db = np.zeros_like(self.w), dy.sum((0, 1, 2))
        for (at, pixels), (_, places) in zip(self.taps(self.x), self.taps(dx)):
            self.dw[at] = np.tensordot(pixels, dy, [[0, 1, 2]] * 2)
            places += dy @ self.w[at].T
        rows, columns = (slice(n, side - n) for n, side in zip(self.padding, dx.shape[1:3]))
        return dx[:, rows, columns]


class Dense:
    def __init__(self, network, layer, shape, units):
        bound = math.isqrt(6 * 2**40 // shape[0])
        self.w = uniform(network, WEIGHTS, layer, bound, [shape[0], units])
        self.b = uniform(network, BIASES, layer, 2**16, [units])
        self.shape = [units]

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy):
        self.dw, self.db = self.x.T @ dy, dy.sum(0)
        return dy @ self.w.T


class Pool:
    """Windows that may overlap and may leave rows and columns over."""

    def __init__(self, shape, window, stride):
        self.window, self.stride = window, stride
        self.out = [(side - window) // stride + 1 for side in shape[:2]]
        self.shape = self.out + shape[2:]

    def taps(self, image):
        reach = [side * self.stride for side in self.out]
        for y in range(self.window):
            for x in range(self.window):
                yield image[:, y : y + reach[0] : self.stride, x : x + reach[1] : self.stride]

    def forward(self, x):
        self.x = x
        return self.pool(np.array(list(self.taps(x))))

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        for number, places in enumerate(self.taps(dx)):
            places += dy * self.part(number)
        return dx


class AvgPool(Pool):
    def pool(self, taps):
        return taps.mean(0)

    def part(self, number):
        return self.window**-2


class MaxPool(Pool):
    def pool(self, taps):
        self.winner = taps.argmax(0)
        second, first = np.sort(taps, 0)[-2:]
        self.distance = (first - second)[first > 0].min(initial=1)
        return first

    def part(self, number):
        return self.winner == number


class Relu:
    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.kept = x > 0
        self.distance = np.abs(x).min()
        return x * self.kept

    def backward(self, dy):
        return dy * self.kept


class Add:
    """Adds what an earlier layer made."""

    def __init__(self, shape, source):
        self.shape, self.source = shape, source

    def forward(self, x):
        return x + self.source.made

    def backward(self, dy):
        self.source.added = self.source.added + dy
        return dy


class Flatten:
    def __init__(self, shape):
        self.full, self.shape = shape, [math.prod(shape)]

    def forward(self, x):
        return x.reshape([-1] + self.shape)

    def backward(self, dy):
        return dy.reshape([-1] + self.full)


def build(number, model):
    """The layers of a model."""
    shape, layers = model["input"], []
    for index, layer in enumerate(model["layers"]):
        kind, given = next(iter(layer.items())) if isinstance(layer, dict) else (layer, {})
        if kind == "conv2d":
            layers.append(Conv(number, index, shape, **given))
        elif kind == "dense":
            layers.append(Dense(number, index, shape, **given))
        elif kind == "avg_pool":
            layers.append(AvgPool(shape, given["window"], given["window"]))
        elif kind == "max_pool":
            layers.append(MaxPool(shape, given["window"], given["stride"]))
        elif kind == "add":
            layers.append(Add(shape, layers[given["layer"] - 1]))
        else:
            layers.append({"relu": Relu, "flatten": Flatten}[kind](shape))
        shape = layers[-1].shape
    return layers


def gradients(layers, x, labels, smoothing=0, weights=None):
    """The mean of the weighted cross entropies; leaves its gradients in the layers."""
    for layer in layers:
        x = layer.made = layer.forward(x)
        layer.added = 0
    x = x - x.max(1, keepdims=True)
    logs = x - np.log(np.exp(x).sum(1, keepdims=True))
    hit = (1 - smoothing) * np.eye(logs.shape[1])[labels] + smoothing / logs.shape[1]
    each = np.array(weights)[labels][:, None] if weights else np.ones((len(labels), 1))
    gradient = each * (np.exp(logs) - hit) / len(labels)
    for layer in reversed(layers):
        gradient = layer.backward(gradient + layer.added)
    return -(each * logs * hit).sum() / len(labels)


def rate_of(network, step):
    """The learning rate of a step, counted from 0; a step is an epoch."""
    rise = network.get("warm_up", 0)
    if step < rise:
        return network["rate"] * (step + 1) / rise
    if network.get("cosine"):
        return network["rate"] * (1 + math.cos(math.pi * (step - rise) / (max(network["steps"]) - rise))) / 2
    return network["rate"]


def train(number, network, steps, layers):
    """Trains the layers, and gives those with weights after each number of steps in `steps`."""
    pixels, labels = samples(number, network)
    pixels, labels = pixels / 255, labels.astype(int)
    weighted = [layer for layer in layers if hasattr(layer, "w")]
    velocity = [[0, 0] for _ in weighted]
    for step in range(1, max(steps) + 1):
        gradients(layers, pixels, labels, network.get("smoothing", 0), network.get("class_weights"))
        rate = rate_of(network, step - 1)
        decay = network.get("decay", 0)
        most = network.get("clip", math.inf)
        for layer, v in zip(weighted, velocity):
            for index, (values, gradient) in enumerate([(layer.w, layer.dw), (layer.b, layer.db)]):
                gradient = np.clip(gradient, -most, most) + decay * values
                v[index] = network["momentum"] * v[index] + gradient
                values -= rate * (gradient + network["momentum"] * v[index] if network.get("nesterov") else v[index])
        if step in steps:
            yield weighted


def check(number, network):
    """The largest difference between a gradient and the quotient of differences of the loss."""
    layers = build(number, network["model"])
    pixels, labels = samples(number, network)
    pixels, labels = pixels[:4] / 255, labels[:4].astype(int)
    gradients(layers, pixels, labels)
    worst = 0
    for layer in layers:
        if not hasattr(layer, "w"):
            continue
        for values, gradient in [(layer.w, layer.dw), (layer.b, layer.db)]:
            flat, gradient = values.reshape(-1), gradient.reshape(-1).copy()
            for index in range(0, len(flat), max(1, len(flat) // 40)):
                loss = []
                for offset in [1e-6, -2e-6]:
                    flat[index] += offset
                    loss.append(gradients(layers, pixels, labels))
                flat[index] += 1e-6
                worst = max(worst, abs((loss[0] - loss[1]) / 2e-6 - gradient[index]))
    return worst


def keeps_distance(number, network):
    """Whether the first eight steps keep their distance from jumps of the gradient."""
    layers = build(number, network["model"])
    for _ in train(number, network, range(1, 9), layers):
        if min(getattr(layer, "distance", 1) for layer in layers) < 2**-18:
            return False
    return True


def main():
    networks = json.loads((HERE / "networks.json").read_text())
    if "--check" in sys.argv:
        for network in networks:
            print(network["model"]["name"], check(network["seed"], network))
        return
    if "--seeds" in sys.argv:
        for network in networks:
            seed = next(seed for seed in itertools.count(1) if keeps_distance(seed, network))
            print(network["model"]["name"], seed, flush=True)
        return
    with open(HERE / "weights.f32", "wb") as out:
        for network in networks:
            layers = build(network["seed"], network["model"])
            for weighted in train(network["seed"], network, network["steps"], layers):
                for layer in weighted:
                    out.write(layer.w.astype("<f4").tobytes() + layer.b.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
