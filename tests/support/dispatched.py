"""How many operations something dispatches: on a GPU each is a launch, 5 to 40 us of the host."""

from torch.utils._python_dispatch import TorchDispatchMode


class Dispatched(TorchDispatchMode):
    """Counts operations that are not views, each a kernel on a GPU."""

    VIEWS = ("view", "expand", "select", "slice", "unsqueeze", "squeeze", "detach", "alias",
             "transpose", "permute", "split", "unbind", "aten.t.")  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not any(name in str(func) for name in self.VIEWS)
        return func(*args, **(kwargs or {}))
