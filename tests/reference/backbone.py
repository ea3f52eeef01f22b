"""Makes backbone.onnx, a small network in the shape of MobileNetV2 with random parameters, and backbone.features, what PyTorch
computes by it of one image (pixel i of 64 is 37 i modulo 256, normalised by 0.5 and 0.25): row by row, the channels of a place
together. Run in this directory; needs PyTorch and onnx.
"""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        inner = 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return x + self.layers(x)


torch.manual_seed(3)
network = nn.Sequential(
    nn.Conv2d(1, 8, 3, 1, 1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU6(),
    Block(8),
    nn.Conv2d(8, 24, 1, bias=False),
    nn.BatchNorm2d(24),
    nn.Hardswish(),
    nn.AvgPool2d(2),
)
for module in network.modules():
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean.uniform_(-0.3, 0.3)
        module.running_var.uniform_(0.3, 1.2)
        module.weight.data.uniform_(0.7, 1.4)
        module.bias.data.uniform_(-0.2, 0.5)
network.eval()
names = {"input_names": ["image"], "output_names": ["features"]}
torch.onnx.export(network, (torch.zeros(1, 1, 8, 8),), "backbone.onnx", dynamo=False, opset_version=17, **names)
image = torch.arange(64).mul(37).remainder(256).reshape(1, 1, 8, 8)
with torch.no_grad():
    features = network((image / 255 - 0.5) / 0.25)
values = features[0].permute(1, 2, 0).reshape(-1).tolist()
with open("backbone.features", "w") as file:
    file.writelines(f"{value:.6f}\n" for value in values)
