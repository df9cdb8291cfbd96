"""Memory of the device: whether an error says that none is left, and giving back what is free."""

import gc

# Of various libraries and types, so by their words: PyTorch's allocators, cuBLAS, and cuDNN, which
# finds no engine where none can have its workspace (PyTorch issue 108645).
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "alloc_failed"),
    *("cublas_status_not_initialized", "unable to find an engine to execute this computation"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, cuBLAS or cuDNN had no memory left."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what nobody uses, and forget the peak."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
