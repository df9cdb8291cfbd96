"""What is trained: the network, its faster forms, the loss and the optimiser."""

import contextlib
import copy
import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import nn

from separation.config.schema import Conf
from separation.config.training import TrainingConf
from separation.device import free_memory, name_device
from separation.errors import UserError
from separation.models.architecture import find_training_pass
from separation.models.asteroid import describe_model
from separation.models.checkpoint.load import open_model
from separation.models.exported import OnnxModel
from separation.models.fast.layers import FastForm, make_fast
from separation.models.fast.time_major import find_obstacle
from separation.models.inference import Separator
from separation.models.precision import allow_tf32, has_amx, has_fast_bf16
from separation.models.recompute import keep_buffers
from separation.models.registry import build_model, find_architecture
from separation.text import explain_briefly
from separation.training.compiling import (
    count_graph_skips,
    explain_compile_error,
    find_missing_tool,
    let_bare_split_errors_be_caught,
)
from separation.training.loss import compile_loss, make_early_loss, make_pit_loss

logger = logging.getLogger(__name__)

TRIED_SAMPLES = 8000  # of the noise that a network is tried on
GRAPH_RUNS = 3  # a CUDA graph is recorded in the second step and replayed from the third on
SLOWER = "slower"  # begins the reason why a model that could be compiled is not


class SeparationModule(pl.LightningModule):
    """A network with its loss; its state has the keys of Asteroid's ``System``.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)``.
        conf: training config.
    """

    def __init__(self, model: nn.Module, conf: TrainingConf) -> None:
        super().__init__()
        self.model = model
        self.conf = conf
        self.pit_loss = make_pit_loss(conf.loss, conf.loss_ceiling)
        self._compiled_loss: Callable[..., torch.Tensor] | None = None
        self.early_weight = conf.early_weight  # in this epoch, see schedule.fade_early
        self.early_loss = make_early_loss(conf, getattr(model, "sample_rate", 8000))
        self.architecture = find_architecture(model)
        self.use_bf16 = self.use_graphs = self.is_compiled = False
        self.layout: Literal["bct", "btc"] = "bct"
        self.n_samples = 0  # of a segment
        # Not registered as sub-modules: they share the parameters of self.model.
        self._forms: dict[str, Any] = {}
        self.separator: Separator  # of whole mixtures, for validation
        self._set_recompute()

    def _set_recompute(self) -> None:
        """Let the network recompute what it can, see ``training.recompute``."""
        network: Any = self.model
        if hasattr(network, "recomputes"):
            network.recomputes = self.conf.recompute
        elif self.conf.recompute:
            raise UserError(
                f"training.recompute=true: {type(network).__name__} has no stages to run again; "
                "set training.recompute=false, and a smaller training.micro_batch."
            )

    def prepare_eager(self) -> None:
        """The eager form, and bf16 where it works.

        Raises:
            UserError: ``training.precision=bf16``, which the network does not work in.
        """
        norms = self.conf.fused_norm and self.architecture.fused
        allow_tf32(self.device)
        # uncompiled, btc takes more memory and is not known to be faster
        layout = self._choose_layout() if self.conf.layout == "btc" else "bct"
        plain = make_fast(self.model, FastForm(norms=norms, layout=layout))
        self._forms = {"train": self._find_pass(plain), "eval": plain}
        precision = self.conf.precision
        if precision == "bf16" and self.device.type == "cuda" and not has_fast_bf16(self.device):
            raise UserError(
                f"training.precision=bf16: {name_device(self.device)} has no bfloat16 arithmetic, "
                "which came with compute capability 8.0; set training.precision=auto."
            )
        suits = self.architecture.bf16 and has_fast_bf16(self.device)
        self.use_bf16 = precision == "bf16" or (precision == "auto" and suits)
        obstacle = self._try_bf16() if self.use_bf16 else ""
        if obstacle and precision == "bf16":
            raise UserError(
                f"training.precision=bf16: the model does not work in it ({obstacle}); set "
                "training.precision=fp32, or let its code compute Fourier transforms and complex "
                "numbers in functions under separation.models.precision.in_float32."
            )
        if obstacle:
            logger.warning("no bf16, which the model does not work in: %s", obstacle)
            self.use_bf16 = False
        self.layout = layout if self.conf.layout == "btc" else self._choose_layout()
        # a GPU's float32 is as fast, as TF32
        narrow = self.use_bf16 and self.device.type == "cpu"
        self.separator = Separator(self.model, self.device, plain, may_join=norms, bf16=narrow)

    def _try_bf16(self) -> str:
        """Why a step in bf16 fails, in words; empty where it does not."""
        noise = torch.randn(1, TRIED_SAMPLES, generator=torch.Generator().manual_seed(0))
        on_gpu = [self.device] if self.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(on_gpu), keep_buffers(self.model):  # dropout draws
                estimates = self._run(self._forms["train"], noise.to(self.device))
                estimates.square().mean().backward()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return explain_briefly(error)
        finally:
            self.zero_grad()
        return ""

    def prepare(self, n_samples: int) -> None:
        """Pick bf16 and compilation where they work; say what was picked.

        Raises:
            UserError: ``training.compile=on`` or ``own_gradients=on``, which cannot be had here.
        """
        self.prepare_eager()
        self.n_samples = n_samples
        obstacle = self._find_obstacle()
        if not obstacle:
            obstacle = self._try_compile()
        self.is_compiled = not obstacle
        if obstacle and self.conf.compile == "on":
            raise UserError(f"training.compile=on: {obstacle}; fix that, or set compile=auto.")
        form = f"eager ({obstacle})" if obstacle else "compiled"
        if self.layout == "btc" and (self.is_compiled or self.conf.layout == "btc"):
            form += ", layout btc"
        form += " with CUDA graphs" if self.use_graphs else ""
        level = logging.WARNING if obstacle.startswith(SLOWER) else logging.INFO
        precision = "bf16 autocast" if self.use_bf16 else "float32"
        logger.log(level, "training runs %s, %s", form, precision)

    def recompile(self, conf: TrainingConf) -> Callable[[], None] | None:
        """Compile for this config's pieces; returns what undoes it, or None where it fails."""
        before, form = self.conf, self._forms["train"]

        def undo() -> None:
            self.conf, self._forms["train"] = before, form

        self.conf = conf
        if self._try_compile():
            undo()
            return None
        return undo

    def _find_obstacle(self) -> str:
        """Why the model cannot be compiled, in words; empty where it can."""
        if self.conf.compile == "off":
            return "training.compile=off"
        if self.conf.recompute:
            return "training.recompute=true"
        if not self.architecture.compiled:
            return "its code says that this model is not to be compiled"
        if self.device.type == "cpu" and not self._compiles_on_cpu():
            return "compiling this model on a CPU takes long: set training.compile=on to have it"
        missing = find_missing_tool(self.device)
        return f"{SLOWER}: compiling needs {missing}" if missing else ""

    def _compiles_on_cpu(self) -> bool:
        return self.conf.compile == "on" or self.architecture.compiled_on_cpu

    def _try_compile(self) -> str:
        """Compile and run throw-away batches; the reason where that fails, and stay eager."""
        logger.info("compiling the model (a minute or two the first time)")
        fused = self.architecture.fused
        form = FastForm(
            norms=self.conf.fused_norm and fused,
            depthwise=self.conf.fused_depthwise and fused,
            gradients=self._writes_gradients() and fused,
            layout=self.layout,
            kernels=self.conf.block_kernels,
        )
        fast = make_fast(self.model, form)
        self.use_graphs = self._can_use_graphs()
        obstacle = self._compile(fast)
        if obstacle and form.kernels:
            logger.warning("training.block_kernels=false in place of true: %s", obstacle)
            fast = make_fast(self.model, dataclasses.replace(form, kernels=False))
            obstacle = self._compile(fast)
        if obstacle and self.use_graphs:
            logger.warning("no CUDA graphs (training.cuda_graphs): %s", obstacle)
            self.use_graphs = False
            obstacle = self._compile(fast)
        return f"{SLOWER}: {obstacle}" if obstacle else ""

    def _compile(self, fast: nn.Module) -> str:
        """Compile this form and see it run as in training; the reason where it does not."""
        compiled = torch.compile(
            self._find_pass(fast),
            dynamic=False,
            mode="reduce-overhead" if self.use_graphs else None,
        )
        if self.device.type == "cuda":
            let_bare_split_errors_be_caught()
        noise = torch.randn(self.conf.forward_items, self.n_samples, device=self.device)
        free_memory()
        n_skips = count_graph_skips()
        try:
            with warnings.catch_warnings(), keep_buffers(self.model):
                warnings.simplefilter("ignore")
                for _ in range(GRAPH_RUNS if self.use_graphs else 1):
                    estimates = self._run(compiled, noise)
                    estimates.square().mean().backward()
                    self.zero_grad()
        except Exception as error:
            return explain_compile_error(error)
        finally:
            self.zero_grad()
        n_skips = count_graph_skips() - n_skips
        if self.use_graphs and n_skips:
            text = (
                "no CUDA graphs (training.cuda_graphs): %d skipped; TORCH_LOGS=cudagraphs says why"
            )
            logger.warning(text, n_skips)
            self.use_graphs = False
        self._forms["train"] = compiled
        if self.device.type == "cuda":
            self._compile_loss(estimates.shape[-3:])
        return ""

    def _compile_loss(self, shape: torch.Size) -> None:
        """Compile the loss too, see it run, and leave it eager where it does not.

        Args:
            shape: of a piece's estimates, ``(batch, n_src, time)``.
        """
        noise = torch.randn(2, *shape, device=self.device)
        compiled = compile_loss(self.pit_loss)
        try:
            compiled(noise[0].requires_grad_(True), noise[1]).backward()
        except Exception as error:
            logger.info("the loss runs eager: %s", explain_compile_error(error))
            return
        self._compiled_loss = compiled

    def _choose_layout(self) -> Literal["bct", "btc"]:
        """Of the activations; ``bct`` where the model has no other."""
        if self.conf.layout == "bct" or (self.conf.layout == "auto" and not self._suits_btc()):
            return "bct"
        fused = self.architecture.fused
        obstacle = find_obstacle(self.model) if fused else "its layers are not to be replaced"
        if obstacle and self.conf.layout == "btc":
            logger.warning("training.layout=bct in place of btc: %s", obstacle)
        return "bct" if obstacle else "btc"

    def _suits_btc(self) -> bool:
        """Whether the layout was measured to pay: compiled, on CUDA or in AMX's bf16."""
        replaces = self.conf.fused_norm and self.conf.fused_depthwise
        suits = self.device.type == "cuda" or (self.use_bf16 and has_amx())
        return suits and self.conf.compile != "off" and replaces

    def _writes_gradients(self) -> bool:
        """Whether the compiled form has its gradients written out.

        Raises:
            UserError: it is asked for under autocast.
        """
        if self.conf.own_gradients == "on" and self.use_bf16 and self.layout == "bct":
            raise UserError(
                "training.own_gradients=on works in float32 only: set training.precision=fp32, or "
                "training.layout=btc."
            )
        pays = self.layout == "btc" or (self.device.type == "cpu" and not self.use_bf16)
        return {"on": True, "off": False, "auto": pays}[self.conf.own_gradients]

    def _can_use_graphs(self) -> bool:
        if self.conf.cuda_graphs == "off":
            return False
        if self.conf.cuda_graphs == "auto" and self.layout != "btc":
            return False  # not measured
        whole = self.conf.forward_items == self.conf.batch_size
        if self.device.type != "cuda" or not whole:
            reason = "the batch goes through in pieces" if not whole else "this is no GPU"
            level = logging.WARNING if self.conf.cuda_graphs == "on" else logging.INFO
            logger.log(level, "no CUDA graphs (training.cuda_graphs): %s", reason)
            return False
        return True

    def _run(self, form: Any, mixtures: torch.Tensor) -> torch.Tensor:
        if self.use_graphs:  # what the last step's graph left may be written over
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.use_bf16):
            estimates = form(mixtures)
        return estimates.float()

    def training_step(self, batch: Sequence[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Mean loss in dB of the best permutation, see ``training.loss``.

        Args:
            batch: mixtures ``(batch, time)`` and sources ``(batch, n_src, time)``.
            batch_idx: not used.
        """
        mixtures, sources = batch
        measure_loss = self._compiled_loss or self.pit_loss
        estimates = self.estimate(mixtures)
        if estimates.ndim == 3:
            return measure_loss(estimates, sources)
        *early, last = estimates
        late = measure_loss(last, sources)
        loss = self.early_loss(torch.cat(early), sources.repeat(len(early), 1, 1))
        return (1 - self.early_weight) * late + self.early_weight * loss

    def estimate(self, mixtures: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` to estimates ``(batch, n_src, time)`` as training makes them.

        Of a network with early estimates, those first: ``(n_estimates, batch, n_src, time)``.
        """
        return self._run(self._forms["train"], mixtures)

    def _find_pass(self, form: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return find_training_pass(form) if self.conf.early_weight else form

    def separate(self, mixtures: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` of any length to estimates ``(batch, n_src, time)``, in float32."""
        return self._forms["eval"](mixtures)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """No gradients, no dropout; the forms are no sub-modules, so ``eval()`` misses them."""
        form = self._forms["eval"]
        form.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            form.train()

    def list_unused_parameters(self) -> set[str]:
        """Names in this module of parameters that get no gradient, which DDP must know."""
        noise = torch.randn(1, self.n_samples, device=self.device)
        unused = list_unused_parameters(self.model, noise, early=self.conf.early_weight > 0)
        return {f"model.{name}" for name in unused}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser of the parameters that are trained, see ``training.optimizer``."""
        return make_optimizer([p for p in self.model.parameters() if p.requires_grad], self.conf)


def make_optimizer(parameters: list[nn.Parameter], conf: TrainingConf) -> torch.optim.Optimizer:
    """Adam, AdamW or RAdam with the config's learning rate and weight decay.

    The fused kernels of the first two leave weights and state alone where ``found_inf`` is 1.
    """
    values: Any = {"lr": conf.lr, "weight_decay": conf.weight_decay}
    if conf.optimizer == "radam":
        return torch.optim.RAdam(parameters, **values)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[conf.optimizer]
    return kind(parameters, **values, fused=conf.fused_adam or None)


def list_unused_parameters(
    model: nn.Module, mixtures: torch.Tensor, *, early: bool = True
) -> set[str]:
    """Parameters that no output depends on, such as the last block's residual; frozen ones too.

    Args:
        model: left as it is.
        mixtures: ``(batch, time)``.
        early: whether early estimates count as outputs, where the model gives some.
    """
    free = copy.deepcopy(model).requires_grad_(True)
    run = find_training_pass(free) if early else free
    run(mixtures).square().sum().backward()
    return {name for name, value in free.named_parameters() if value.grad is None}


def make_model(conf: Conf, *, from_checkpoint: bool = True) -> nn.Module:
    """The recipe's model with random weights, or those of ``training.init_from``.

    Args:
        conf: the recipe.
        from_checkpoint: false where a resumed run replaces the weights anyway.

    Raises:
        UserError: the checkpoint is absent, or of another architecture; or the network does not
            give a signal for each speaker.
    """
    n_src = conf.mixtures.n_src
    model = build_model(conf.model, n_src, conf.audio.sample_rate)
    check_shape(model, n_src)
    if conf.training.init_from and from_checkpoint:
        load_initial_weights(model, conf.training.init_from, conf.audio.sample_rate)
        logger.info("fine-tuning the weights of %s", conf.training.init_from)
    return model


def check_shape(model: nn.Module, n_src: int) -> None:
    """Try a network of our own, whose code nobody else has run: its outputs' shape.

    Raises:
        UserError: another shape than ``(batch, n_src, time)``.
    """
    built_as: Any = getattr(model, "built_as", None)
    if not built_as:
        return
    noise = torch.randn(2, TRIED_SAMPLES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), keep_buffers(model):
        shape = tuple(model(noise).shape)
    if shape != (2, n_src, TRIED_SAMPLES):
        raise UserError(
            f"model.name={built_as.name} makes {shape} of {tuple(noise.shape)}; it should "
            f"make (batch, n_src, time), here {(2, n_src, TRIED_SAMPLES)}: correct its file in "
            "separation/models."
        )


def load_initial_weights(model: nn.Module, path: str, sample_rate: int) -> None:
    """Copy a checkpoint's weights into ``model``; another sample rate is said and no error.

    Args:
        model: of the recipe.
        path: or name: whatever :func:`separation.models.checkpoint.load.open_model` takes.
        sample_rate: of the recipe, in Hz.

    Raises:
        UserError: no such checkpoint, or the first argument or shape that differs.
    """
    try:
        loaded = open_model(str(path))
    except UserError as error:
        raise UserError(f"training.init_from={error}") from error
    if isinstance(loaded.model, OnnxModel):
        raise UserError(
            f"training.init_from={path} is an ONNX file, which cannot be trained on; give the "
            "checkpoint that it was exported from."
        )
    difference = _find_difference(model, loaded.model)
    if difference:
        raise UserError(
            f"training.init_from={path} is of another architecture: {difference}, or start from "
            "random weights with --set training.init_from= (nothing after the equals sign)."
        )
    if loaded.sample_rate != sample_rate:
        logger.warning(
            "training.init_from=%s: the checkpoint was trained at %d Hz and goes on at "
            "audio.sample_rate=%d, so its filters span another time; give a checkpoint of this "
            "rate, or train longer",
            path,
            loaded.sample_rate,
            sample_rate,
        )
    model.load_state_dict(loaded.model.state_dict())


def name_key(argument: str) -> str:
    """The config key that an argument of a model comes from.

    >>> name_key("n_src"), name_key("hid_chan")
    ('mixtures.n_src', 'model.hid_chan')
    """
    return f"mixtures.{argument}" if argument == "n_src" else f"model.{argument}"


def _find_difference(model: nn.Module, start: nn.Module) -> str:
    """The first argument, weight or shape that differs, in words; empty where none does."""
    (name, ours), (other, theirs) = describe_model(model), describe_model(start)
    if name != other:
        return f"it is a {other}, the recipe's a {name}; set model.name={other}"
    for name in ours:
        if name != "sample_rate" and name in theirs and theirs[name] != ours[name]:
            fix = f"set {name_key(name)}={theirs[name]}"
            return f"its {name} is {theirs[name]}, the recipe's {ours[name]}; {fix}"
    shapes = {name: tuple(value.shape) for name, value in start.state_dict().items()}
    for name, value in model.state_dict().items():
        if shapes.pop(name, None) != tuple(value.shape):
            shape = start.state_dict().get(name, torch.empty(0)).shape
            return f"its {name} has the shape {tuple(shape)}, the recipe's {tuple(value.shape)}"
    return f"it has {next(iter(shapes))}, which the recipe's has not" if shapes else ""
