"""The networks that come with Taut (``taut:NAME``); their weights are shipped or trained on first use."""

from __future__ import annotations

from taut.core.registry import Registry

NETS = Registry("net")
"""Name -> NetSpec"""

NETS.register("digits-cnn", "taut.nets.digits_cnn:DIGITS_CNN", extra="train")
NETS.register("resnet20-cifar10", "taut.nets.resnet_cifar:RESNET20_CIFAR10", extra="train")
NETS.register("mobilenetv2-half-cifar10", "taut.nets.mobilenet_v2:MOBILENET_V2_HALF_CIFAR10", extra="train")
NETS.register("convfirst-cifar10", "taut.nets.convfirst:CONVFIRST_CIFAR10", extra="train")
NETS.register("convnext-cifar10", "taut.nets.convnext:CONVNEXT_CIFAR10", extra="train")
