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
        return bool(self.changes.get("cuda_graphs"))

    @property
    def compiles(self) -> bool:
        return self.changes.get("compile") != "off"


BOTH = ("best", "small")
MEASURES = {
    "with_btc": Measure("layout (batch, time, channels)", {"layout": "btc"}, BOTH),
    "with_cuda_graphs": Measure("CUDA graphs", {"cuda_graphs": True}, BOTH),
    "with_btc_graphs": Measure(
        "that layout and CUDA graphs", {"layout": "btc", "cuda_graphs": True}, BOTH
    ),
    "with_btc_own_gradients": Measure(
        "that layout, gradients written out", {"layout": "btc", "own_gradients": "on"}
    ),
    "without_compile": Measure("without torch.compile", {"compile": "off"}, BOTH),
    "without_bf16": Measure("without bf16 (float32)", {"precision": "fp32"}),
    "without_fused_depthwise": Measure(
        "without the fused depthwise convolution", {"fused_depthwise": False, "layout": "bct"}
    ),
    "without_fused_norm": Measure(
        "without the fused global norm", {"fused_norm": False, "layout": "bct"}
    ),
    "without_fused_adam": Measure("without fused Adam", {"fused_adam": False}),
    "with_own_gradients": Measure(
        "float32, gradients written out", {"precision": "fp32", "own_gradients": "on"}
    ),
}


def list_names() -> dict[str, tuple[str, str]]:
    """Measure and configuration by the case's name, such as ``with_btc_small``."""
    return {
        name + ("" if conf == "best" else f"_{conf}"): (name, conf)
        for conf in BOTH
        for name, measure in MEASURES.items()
        if conf in measure.confs
    }
