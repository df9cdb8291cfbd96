"""What makes our step fast, one measure at a time: switched off, or added to what is shipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A step that differs from the shipped one.

    Attributes:
        label: in the table.
        changes: values of keys of the training section, as a user would set them.
        confs: configurations that are measured with it.
    """

    label: str
    changes: Mapping[str, Any]
    confs: tuple[str, ...] = ("best",)

    @property
    def needs_cuda(self) -> bool:
        return self.changes.get("cuda_graphs") == "on"

    @property
    def compiles(self) -> bool:
        return self.changes.get("compile") != "off"


BOTH = ("best", "small")


def _forms(layout: str, own_gradients: str, cuda_graphs: str) -> dict[str, Any]:
    return {"layout": layout, "own_gradients": own_gradients, "cuda_graphs": cuda_graphs}


MEASURES = {  # the first six whatever is shipped, the others as it is shipped but for one thing
    "bct": Measure("layout bct", _forms("bct", "off", "off"), BOTH),
    "bct_graphs": Measure("layout bct, CUDA graphs", _forms("bct", "off", "on")),
    "btc": Measure("layout btc", _forms("btc", "off", "off"), BOTH),
    "btc_own": Measure("layout btc, gradients written out", _forms("btc", "on", "off"), BOTH),
    "btc_own_graphs": Measure(
        "layout btc, gradients written out, CUDA graphs", _forms("btc", "on", "on"), BOTH
    ),
    "btc_kernels_graphs": Measure(
        "the same, Triton's kernels in the blocks",
        {**_forms("btc", "on", "on"), "block_kernels": True},
        BOTH,
    ),
    "without_compile": Measure(
        "without torch.compile", {"compile": "off", "cuda_graphs": "off"}, BOTH
    ),
    "without_bf16": Measure("without bf16 (float32)", {"precision": "fp32"}),
    "without_fused_adam": Measure("without fused Adam", {"fused_adam": False}),
    "without_fused_depthwise": Measure(
        "layout bct, cuDNN's depthwise convolution",
        {**_forms("bct", "off", "off"), "fused_depthwise": False},
    ),
    "without_fused_norm": Measure(
        "layout bct, Asteroid's own global norm",
        {**_forms("bct", "off", "off"), "fused_norm": False},
    ),
}


def list_names() -> dict[str, tuple[str, str]]:
    """Measure and configuration by the case's name, such as ``btc_small``."""
    return {
        name + ("" if conf == "best" else f"_{conf}"): (name, conf)
        for conf in BOTH
        for name, measure in MEASURES.items()
        if conf in measure.confs
    }
