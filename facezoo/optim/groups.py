"""Which learning rate and weight decay each parameter has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from facezoo.config import OptimConfig
from facezoo.registry import parse_spec
from facezoo.types import InputError

UNDECAYED = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.PReLU,
)


@dataclass(frozen=True)
class Rule:
    """One of `optim.groups`, such as `head:lr_scale=10,weight_decay=1e-3`.

    Attributes:
        where: a dotted name in the mode (`backbone.stages.3`), or a module's class (`BatchNorm2d`): all parameters
            below it.
        lr_scale: multiplies the learning rate; 0 freezes.
        weight_decay: instead of `optim.weight_decay`.
    """

    where: str
    lr_scale: float | None = None
    weight_decay: float | None = None


def parse_rule(text: str) -> Rule:
    """The rule of a spec string.

    Raises:
        InputError: no name, no option, an unknown option, or a value that is not a number from 0.
    """
    where, options = parse_spec(text)
    known = [field.name for field in fields(Rule)[1:]]
    if not where or not options:
        raise InputError(f"optim.groups: {text!r} does not say what for whom; write NAME:{known[0]}=...,{known[1]}=...")
    values = {}
    for key, value in options.items():
        if key not in known:
            raise InputError(f"optim.groups: {text!r} has no option {key!r}; its options: {', '.join(known)}")
        values[key] = _number(text, value)
    return Rule(where, **values)


def _number(rule: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"optim.groups: {rule!r}: {text!r} is not a number from 0 up")
    return value


@dataclass(frozen=True)
class _Owned:
    """A parameter with all that names it."""

    name: str
    parameter: nn.Parameter
    path: tuple[nn.Module, ...]

    @property
    def spared(self) -> bool:
        """Whether decay leaves it alone unless asked for."""
        # What transformers look up, add or scale by (positions, tokens, tables of biases, temperatures) is no weight.
        weight = self.parameter.ndim >= 2 and self.name.endswith("weight")
        return not weight or isinstance(self.path[-1], UNDECAYED)

    def below(self, where: str) -> bool:
        return f"{self.name}.".startswith(f"{where}.") or any(where in _classes(module) for module in self.path)

    def directly_below(self, where: str) -> bool:
        """Whether `where` is the parameter or the very layer that has it."""
        return where in (self.name, self.name.rpartition(".")[0]) or where in _classes(self.path[-1])


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Groups with `params` (names and parameters), `lr_scale` and `weight_decay`, and what is frozen frozen.

    By default weights of two and more dimensions are decayed, but for those of norm layers and PReLU: that goes by
    module type, rules by name leave the norms of IR networks decayed. Biases, other 1-D tensors, and positions, tokens
    and tables of transformers, which no layer calls its weight, are not. Then the rules of `config.groups` in their
    order; a later one wins. Their weight decay leaves spared parameters spared, unless it names the very layer.

    Raises:
        InputError: a rule names nothing that is trained, nothing is left to train, or what the config wants of the
            backbone has no effect, as in mode `scf`, where it is frozen.
    """
    rules = [parse_rule(text) for text in config.groups]
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    unused = dict.fromkeys(config.groups)
    for owned in _trainable(module):
        lr_scale, weight_decay = 1.0, 0.0 if owned.spared and not config.decay_norms else config.weight_decay
        for text, rule in zip(config.groups, rules, strict=True):
            if not owned.below(rule.where):
                continue
            unused.pop(text, None)
            lr_scale = lr_scale if rule.lr_scale is None else rule.lr_scale
            decays = not owned.spared or config.decay_norms or owned.directly_below(rule.where)
            if rule.weight_decay is not None and decays:
                weight_decay = rule.weight_decay
        if lr_scale == 0:
            owned.parameter.requires_grad_(False)
            continue
        key = lr_scale, weight_decay
        group = groups.setdefault(key, {"params": [], "weight_decay": weight_decay, "lr_scale": lr_scale})
        group["params"].append((owned.name, owned.parameter))
    if unused:
        raise InputError(f"optim.groups: {next(iter(unused))!r} names nothing that is trained; {_names(module)}")
    if not groups:
        raise InputError("optim.groups: everything is frozen, nothing is left to train")
    _refuse_idle(module, config)
    return list(groups.values())


def _refuse_idle(module: nn.Module, config: OptimConfig) -> None:
    """Refuse what is done to the backbone alone where nothing of it is trained."""
    backbone = getattr(module, "backbone", None)
    if backbone is None or any(parameter.requires_grad for parameter in backbone.parameters()):
        return
    for name, does in {"ema": "averages", "swa": "averages", "clip_norm": "clips the gradients of"}.items():
        if getattr(config, name):
            raise InputError(f"optim.{name} {does} the backbone, of which nothing is trained; leave it out")


def _trainable(root: nn.Module) -> Iterator[_Owned]:
    """Trainable parameters, each once, in the order of `named_parameters`."""
    seen: set[nn.Parameter] = set()

    def walk(module: nn.Module, prefix: str, above: tuple[nn.Module, ...]) -> Iterator[_Owned]:
        path = (*above, module)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield _Owned(prefix + name, parameter, path)
        for name, child in module.named_children():
            yield from walk(child, f"{prefix}{name}.", path)

    return walk(root, "", ())


def _classes(module: nn.Module) -> set[str]:
    """The names of a module's class and of those that it derives from, up to nn.Module."""
    return {kind.__name__ for kind in type(module).__mro__} - {"Module", "object"}


def _names(module: nn.Module) -> str:
    """What a rule may begin with, for messages."""
    names = [name for name, _ in module.named_children()]
    inner = [f"{name}.{inner}" for name, child in module.named_children() for inner, _ in child.named_children()]
    return f"its parts: {', '.join([*names, *inner][:12])}"
