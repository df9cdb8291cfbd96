"""A causal model over a signal that comes in blocks: what it keeps of the past, in place of it.

The network's own layers compute; only those that look back (dilated convolutions, cumulative norms,
recurrent layers) are replaced by ones that remember. Blocks joined are the output that the whole
signal gives at once, but for rounding, whatever the blocks' lengths.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from separation.errors import UserError
from separation.models.exported import OnnxModel

EPS = 1e-8  # of Asteroid's norms
FRAMEWISE = ("ChanLN", "BatchNorm", "Conv1d", "Linear", "PReLU", "Dropout", "Swish")
OVER_TIME = {"GlobLN": "gLN", "FeatsGlobLN": "fgLN"}
ELEMENTWISE = (nn.Identity, nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.GELU)
HOW = (
    "train a causal one: bash run.sh --recipe librimix/ConvTasNet/causal, or "
    "folder/ConvTasNet/causal for your own recordings"
)


class StreamingSeparator:
    """A causal model with its state.

    Args:
        model: of Asteroid's ``ConvTasNet`` or ``LSTMTasNet``, or ``STFTMask``; in evaluation mode.

    Attributes:
        n_src: number of voices.
        window: samples until an output sample is known: the latency beside the block's length.

    Raises:
        UserError: the model looks ahead; the sentence says where, and how to train one that does
            not.
    """

    def __init__(self, model: nn.Module) -> None:
        refuse_lookahead(model)
        copied: Any = copy.copy(model)
        copied._modules = dict(model._modules)
        copied.masker = remember(copied.masker)
        self.model, bank = copied, copied.encoder.filterbank
        self.window, self.stride = int(bank.kernel_size), int(bank.stride)
        self.n_src = int(copied.masker.n_src)
        self.device = next(model.parameters()).device
        self.n_before = int(getattr(model, "overlap", 0))  # zeros before a signal, as offline
        self.held = torch.zeros(self.n_before, device=self.device)
        self.tail = torch.zeros(self.n_src, self.window - self.stride, device=self.device)
        self.n_dropped = self.n_taken = self.n_given = 0

    @torch.inference_mode()
    def feed(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples ``(time,)`` to those estimates ``(n_src, time)`` that are known now.

        Args:
            samples: any number of them, also none.
        """
        self.n_taken += len(samples)
        estimates = self._compute(samples)
        self.n_given += estimates.shape[1]
        return estimates

    @torch.inference_mode()
    def finish(self) -> torch.Tensor:
        """The estimates ``(n_src, time)`` that are missing at the end of the signal."""
        missing = self.n_taken - self.n_given
        n_zeros = self.n_before + -self.n_taken % self.stride if self.n_before else 0
        estimates = self._compute(torch.zeros(n_zeros))
        rest = torch.cat([estimates, self.tail], 1)
        return functional.pad(rest, (0, max(0, missing - rest.shape[1])))[:, :missing]

    def _compute(self, samples: torch.Tensor) -> torch.Tensor:
        held = torch.cat([self.held, samples.to(self.device, torch.float32)])
        n_frames = max(0, (len(held) - self.window) // self.stride + 1)
        self.held = held[n_frames * self.stride :]
        if not n_frames:
            return held.new_zeros(self.n_src, 0)
        piece = held[: (n_frames - 1) * self.stride + self.window]
        model = self.model
        encoded = model.enc_activation(model.encoder(piece[None, None]))
        masked = model.apply_masks(encoded, model.forward_masker(encoded))
        laid = model.decoder(masked)[0]
        laid[:, : self.tail.shape[1]] += self.tail
        known, self.tail = laid[:, : n_frames * self.stride], laid[:, n_frames * self.stride :]
        n_dropped = min(self.n_before - self.n_dropped, known.shape[1])
        self.n_dropped += n_dropped
        return known[:, n_dropped:]


def refuse_lookahead(model: nn.Module) -> None:
    """Raise :class:`UserError` where a model needs samples that are still to come."""
    if obstacle := find_lookahead(model):
        raise UserError(f"--stream: the model {obstacle}; {HOW}.")


def find_lookahead(model: nn.Module) -> str:
    """Where a model needs samples that are still to come: the end of a sentence; or nothing."""
    if isinstance(model, OnnxModel):
        return "is an ONNX file, which keeps no state; give the checkpoint of a causal one"
    masker: Any = getattr(model, "masker", None)
    kind = type(masker).__name__
    if kind not in ("TDConvNet", "LSTMMasker"):
        return f"is a {type(model).__name__}, which works on the whole recording at once"
    if kind == "TDConvNet" and not masker.causal:
        return "looks ahead: its convolutions reach into later frames"
    for module in masker.modules():
        if fault := _explain_layer(module, masker):
            return f"looks ahead: {fault}"
    return ""


def _explain_layer(module: nn.Module, masker: Any) -> str:
    """Why a layer cannot work by blocks; empty: it can."""
    name = type(module).__name__
    if name in OVER_TIME:
        return f"its norms ({OVER_TIME[name]}) are taken over the whole recording"
    if isinstance(module, nn.RNNBase):
        return "its recurrent layers run in both directions" if module.bidirectional else ""
    if isinstance(module, nn.Softmax):  # over sources in a TDConvNet, over time in an LSTMMasker
        return "its softmax is taken over time" if type(masker).__name__ == "LSTMMasker" else ""
    if list(module.children()) or name in (*FRAMEWISE, "CumLN", "_Chop1d"):
        return ""
    return "" if isinstance(module, ELEMENTWISE) else f"it has a {name}"


def remember(module: nn.Module) -> nn.Module:
    """A copy of a masker whose layers that look back remember; parameters are shared."""
    name = type(module).__name__
    if name == "CumLN":
        return CumulativeNorm(module)
    children = dict(module._modules)
    if [type(child).__name__ for child in children.values()] == ["Conv1d", "_Chop1d"]:
        return DilatedConvolution(module[0])  # type: ignore[index]
    if name == "SingleRNN":
        return RecurrentLayers(module.rnn)
    copied = copy.copy(module)
    copied._modules = {key: child and remember(child) for key, child in children.items()}
    return copied


class DilatedConvolution(nn.Module):
    """A depthwise ``Conv1d`` over frames so far, ``(1, channels, frames)`` to as many."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.dilation = conv.dilation[0]
        self.taps, self.bias = conv.weight[:, 0].t()[:, None, :, None], conv.bias[:, None]
        self.past = conv.weight.new_zeros(1, len(conv.bias), conv.padding[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The next frames."""
        frames = torch.cat([self.past, x], -1)
        n_frames = x.shape[-1]
        self.past = frames[..., n_frames:]
        total = torch.addcmul(self.bias, frames[..., :n_frames], self.taps[0])
        for place, taps in enumerate(self.taps[1:], 1):
            start = place * self.dilation
            total.addcmul_(frames[..., start : start + n_frames], taps)
        return total


class CumulativeNorm(nn.Module):
    """Asteroid's ``CumLN``: mean and variance over channels and all frames so far.

    Sums are kept in float64, so that an hour's are as exact as a second's.
    """

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.gamma, self.beta = norm.gamma, norm.beta
        self.sums = norm.gamma.new_zeros(2, 1, dtype=torch.float64)
        self.n_frames = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(1, channels, frames)``, the next frames."""
        wide = x[0].double()
        sums = torch.stack([wide.sum(0), wide.square().sum(0)]).cumsum(1) + self.sums
        self.sums = sums[:, -1:]
        n_frames = torch.arange(1, x.shape[-1] + 1, device=x.device) + self.n_frames
        self.n_frames += x.shape[-1]
        mean, square = sums / (n_frames * x.shape[1])
        scale = (square - mean.square() + EPS).rsqrt()
        normed = (x - mean.float()) * scale.float()
        return normed * self.gamma[:, None] + self.beta[:, None]


class RecurrentLayers(nn.Module):
    """Recurrent layers in one direction, ``(1, frames, features)``, that go on where they were."""

    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.rnn, self.state = rnn, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The next frames."""
        output, self.state = self.rnn(x, self.state)
        return output
