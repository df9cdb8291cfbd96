"""A Conv-TasNet at half its stride that begins by computing what it computed.

    .venv/bin/python -m benchmarks.halve_stride MODEL OUT.pth [--hid-chan 224 --table dev.csv \\
        --corpus speech=DIR]

MODEL is whatever ``separate --model`` takes. Frames twice as dense are two interleaved sequences of
the old ones. Each repeat gets a new first block, whose outputs are zero, before the old blocks; as
the n-th block looks 2^n frames away, the old ones then look as far as they did, each at its own
sequence. What comes out is the mean of the old model's outputs at two shifts of half a stride, but
for norms over both. --hid-chan leaves out, block by block, the hidden channels that add least to
the block's outputs in some mixtures of a table, so that the model is no larger than it was. Both
are a start for more training, not its end.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separation.datasets.open import parse_roots
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import read_mixture_table
from separation.models.asteroid import import_asteroid, save_model
from separation.models.checkpoint.load import open_model

N_HEARD = 30  # mixtures on which channels are weighed
OUTPUTS = ("res_conv", "skip_conv")  # of a block


def halve_stride(model: Any) -> Any:
    """The model at half its stride, with one more block a repeat that adds nothing yet.

    Args:
        model: Asteroid's ``ConvTasNet`` with skip connections, its stride a multiple of 2.
    """
    arguments = dict(model.get_model_args())
    arguments.pop("fb_name", None)
    old_blocks = arguments["n_blocks"]
    if arguments["stride"] % 2:
        raise SystemExit(f"a stride of {arguments['stride']} samples cannot be halved.")
    arguments |= {"n_blocks": old_blocks + 1, "stride": arguments["stride"] // 2}
    wider = import_asteroid("models").ConvTasNet(**arguments)
    weights = dict(model.state_dict())
    for name, fresh in wider.state_dict().items():
        before, is_block, after = name.partition(".TCN.")
        if not is_block:
            continue
        number, _, rest = after.partition(".")
        repeat, place = divmod(int(number), old_blocks + 1)
        if place:
            old = model.state_dict()[f"{before}.TCN.{repeat * old_blocks + place - 1}.{rest}"]
        else:
            old = torch.zeros_like(fresh) if rest.startswith(OUTPUTS) else fresh
        weights[name] = old
    for name in weights:
        if name.startswith("decoder.") and name.endswith("_filters"):
            weights[name] = weights[name] / 2  # twice as many frames are added up
    wider.load_state_dict(weights)
    return wider.eval()


@torch.inference_mode()
def weigh_channels(model: Any, mixtures: list[torch.Tensor]) -> list[torch.Tensor]:
    """How much each hidden channel of each block adds to the block's outputs, ``(hid_chan,)``."""
    powers: list[list[torch.Tensor]] = [[] for _ in model.masker.TCN]
    hooks = [
        block.shared_block.register_forward_hook(
            lambda _module, _inputs, hidden, kept=kept: kept.append(hidden.square().mean((0, 2)))
        )
        for block, kept in zip(model.masker.TCN, powers, strict=True)
    ]
    for mixture in mixtures:
        model(mixture[None])
    for hook in hooks:
        hook.remove()
    norms = [
        torch.cat([getattr(block, name).weight for name in OUTPUTS])[:, :, 0].norm(dim=0)
        for block in model.masker.TCN
    ]
    return [torch.stack(own).mean(0).sqrt() * n for own, n in zip(powers, norms, strict=True)]


def leave_out_channels(model: Any, importance: list[torch.Tensor], hid_chan: int) -> Any:
    """The model with the ``hid_chan`` most important hidden channels of each block."""
    arguments = dict(model.get_model_args()) | {"hid_chan": hid_chan}
    arguments.pop("fb_name", None)
    smaller = import_asteroid("models").ConvTasNet(**arguments)
    for place, (block, other) in enumerate(zip(model.masker.TCN, smaller.masker.TCN, strict=True)):
        kept = importance[place].topk(hid_chan).indices.sort().values
        weights = {}
        for name, value in block.state_dict().items():
            if name.startswith(OUTPUTS):
                weights[name] = value[:, kept] if name.endswith("weight") else value
            else:  # of the hidden channels, but for a PReLU's slope
                weights[name] = value[kept] if len(value) == len(importance[place]) else value
        other.load_state_dict(weights)
    rest = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("masker.TCN")
    }
    smaller.load_state_dict(rest, strict=False)
    return smaller.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--hid-chan", type=int)
    parser.add_argument("--table", type=Path, help="mixtures on which channels are weighed")
    parser.add_argument("--corpus", action="append", default=[], metavar="NAME=DIR")
    args = parser.parse_args()
    torch.manual_seed(0)
    model: nn.Module = halve_stride(open_model(args.model).model.float())
    if args.hid_chan:
        rows = read_mixture_table(args.table)[:N_HEARD]
        roots = parse_roots(args.corpus)
        options = ReadOptions(corpora=Corpora(roots["speech"]), sample_rate=int(model.sample_rate))
        heard = MixtureDataset(rows, options)
        mixtures = [torch.as_tensor(heard[k].mixture) for k in range(len(rows))]
        model = leave_out_channels(model, weigh_channels(model, mixtures), args.hid_chan)
    save_model(model, args.out)
    print(f"{args.out}: {sum(own.numel() for own in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
