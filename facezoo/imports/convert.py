"""From other projects' checkpoints to our model files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from facezoo.checkpoint import save_model, save_network
from facezoo.files import whole_file
from facezoo.imports.describe import options, registry_of
from facezoo.imports.detect import Match, detect, heads
from facezoo.imports.onnx_file import image_size, keep_onnx, normalises_itself, read_onnx
from facezoo.imports.projects import UNKNOWN, Origin, Preprocessing, origin
from facezoo.imports.source import Source, check_file, read_source
from facezoo.registry import BACKBONES
from facezoo.sdk.dlib_resnet import CONTRACT as DLIB_CONTRACT
from facezoo.sdk.dlib_resnet import write_onnx
from facezoo.types import Contract, InputError

Three = float | Sequence[float]


@dataclass(frozen=True)
class Feed:
    """What the user says about the network's input; None where the file's project decides.

    Attributes:
        color: channel order.
        mean: subtracted, on the 0..255 scale: one number, or three in the network's channel order.
        std: divides after it.
        size: (height, width) of a crop, for ONNX files that leave it open.
    """

    color: Literal["rgb", "bgr"] | None = None
    mean: Three | None = None
    std: Three | None = None
    size: Sequence[int] | None = None


@dataclass(frozen=True)
class Imported:
    """What an import found and wrote.

    Attributes:
        out: the file.
        network: spec string of the network, or what kind of file was kept.
        projects: who may have written the checkpoint, the likeliest first.
        contract: of an embedding model; None of other networks.
        found: one line for people.
        warnings: what was guessed, a sentence each.
    """

    out: Path
    network: str
    projects: tuple[str, ...]
    contract: Contract | None
    found: str
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        contract = None if self.contract is None else vars(self.contract)
        return {**vars(self), "out": str(self.out), "contract": contract}


def import_checkpoint(
    path: Path, out: Path, backbone: str | None = None, feed: Feed = Feed(), name: str | None = None
) -> Imported:
    """Convert a checkpoint of another project; nothing in the file is executed.

    Read are files of torch.save (state dicts, dicts of them, whole modules), safetensors, ONNX, and dlib's `.dat`
    of its ResNet-29. Which network it is shows in names and shapes of the tensors.

    Args:
        path: the checkpoint.
        out: `.safetensors`, or `.onnx` where weights have no names of their own (ONNX with folded weights, dlib).
        backbone: spec string of the network it has to be; by default it is looked for among all.
        feed: overrides how the file's project feeds its network.
        name: of the contract; by default that of the out file.

    Raises:
        InputError: unreadable, damaged or unknown, not the backbone that is asked for, or an ending that does not fit.
    """
    path, out = Path(path), Path(out)
    if path.resolve() == out.resolve():
        raise InputError(f"{out}: is the checkpoint itself; write to another file")
    if out.suffix not in (".safetensors", ".onnx"):
        raise InputError(f"{out}: a model file is found by its ending, name it .safetensors or .onnx")
    name = name or out.stem
    if path.suffix == ".dat":
        return _from_dlib(path, out, feed)
    if path.suffix != ".onnx":
        return _from_tensors(read_source(path), out, backbone, feed, name)
    source, model = read_onnx(path)
    if out.suffix == ".safetensors":
        try:
            return _from_tensors(source, out, backbone, feed, name)
        except InputError as error:
            raise InputError(f"{error}; write to an .onnx file to keep the graph as it is") from None
    if backbone is not None:
        raise InputError(f"{path}: is kept as ONNX, whose graph says which network it is; leave --as out")
    return _keep(path, model, out, feed, name)


def _from_tensors(source: Source, out: Path, backbone: str | None, feed: Feed, name: str) -> Imported:
    match = detect(source.shapes, str(source.path), backbone)
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: {match.spec} is written as .safetensors; facezoo export makes ONNX of it")
    embeds = registry_of(match.spec) is BACKBONES
    if not embeds and feed != Feed():
        raise InputError(f"{source.path}: is {match.spec}, whose input is fixed; leave --color, --mean, --std out")
    if feed.size is not None:
        raise InputError(f"{source.path}: the crop size shows in the weights; leave --size out")
    network = fill(source, match)
    writer = origin(match.projects, str(options(match.spec).get("flavor", "")), match.prefix, source.top)
    said = _found(source, match, network, writer)
    if not embeds:
        save_network(out, network, match.spec)
        return Imported(out, match.spec, writer.projects, None, said)
    contract = replace(
        _contract(writer.preprocessing, feed),
        name=name,
        input_size=network.input_size,  # type: ignore[arg-type]
        embedding_dim=int(network.embedding_dim),  # type: ignore[arg-type]
    )
    warnings = _doubts(match, writer, feed)
    contract = save_model(out, network, match.spec, contract)
    return Imported(out, match.spec, writer.projects, contract, said, warnings)


def fill(source: Source, match: Match) -> nn.Module:
    """The network of a match with the file's weights, in evaluation mode.

    Raises:
        InputError: a weight is not a finite number.
    """
    network = registry_of(match.spec).create(match.spec)
    state = network.state_dict()
    for key, name in match.names.items():
        tensor = source.tensors[name].read()
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"{source.path}: {name!r} has values that are not finite numbers; the training failed")
        state[key] = tensor.to(state[key].dtype).reshape(state[key].shape)
    network.load_state_dict(state)
    return network.eval()


def _contract(default: Preprocessing, feed: Feed) -> Contract:
    return Contract(
        color=feed.color or default.color,
        mean=_three(default.mean if feed.mean is None else feed.mean, "--mean"),
        std=_three(default.std if feed.std is None else feed.std, "--std"),
    )


def _three(value: Three, option: str) -> tuple[float, float, float]:
    values = [float(value)] if isinstance(value, int | float) else [float(v) for v in value]
    if len(values) not in (1, 3):
        raise InputError(f"{option} is {len(values)} numbers; give one, or three in the network's channel order")
    return (values[0], values[len(values) // 2], values[-1])


def _found(source: Source, match: Match, network: nn.Module, writer: Origin) -> str:
    """One line: which network of whom, what stood around it, what was left out."""
    parts = [f"{match.spec} of {' or '.join(writer.projects)}", f"{len(match.names)} tensors"]
    if match.prefix:
        parts.append(f"under {match.prefix!r}")
    if match.dropped:
        dimension = getattr(network, "embedding_dim", 0)
        classes = "".join(f" of {count:,} classes" for count in heads(source.shapes, match, dimension)[:1])
        named = ", ".join(f"{part} ({count})" for part, count in sorted(match.dropped.items()))
        parts.append(f"left out: {named}{classes}")
    if match.dead:
        parts.append(f"{match.dead} tensors that the original never uses")
    return "; ".join(parts)


def _doubts(match: Match, writer: Origin, feed: Feed) -> tuple[str, ...]:
    doubts = []
    if writer.guessed and (feed.color is None or feed.mean is None or feed.std is None):
        doubts.append(
            f"the weights do not say how crops are fed: {writer.preprocessing.sentence()} is a guess "
            f"({' or '.join(writer.projects)}); give --color, --mean and --std if you know better"
        )
    if match.others:
        doubts.append(f"the tensors also fit {', '.join(match.others)}; choose with --as")
    return tuple(doubts)


def _keep(path: Path, model: Any, out: Path, feed: Feed, name: str) -> Imported:
    own = normalises_itself(model)
    default = Preprocessing("rgb", mean=0.0, std=1.0) if own else UNKNOWN
    contract = replace(_contract(default, feed), name=name, input_size=image_size(model, path, feed.size))
    contract = keep_onnx(model, path, out, contract)
    doubts: tuple[str, ...] = ()
    if feed.color is None or feed.mean is None or feed.std is None:
        why = "the graph normalises by itself" if own else "as insightface feeds its models"
        doubts = (
            f"the file does not say how crops are fed: {default.sentence()} is a guess ({why}); "
            "give --color, --mean and --std if you know better",
        )
    said = f"ONNX graph of {len(model.graph.node)} nodes kept as it is; {contract.embedding_dim}-d embeddings"
    return Imported(out, "onnx", (), contract, said, doubts)


def _from_dlib(path: Path, out: Path, feed: Feed) -> Imported:
    check_file(path)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: dlib's network is written as ONNX, name the file .onnx")
    if feed != Feed():
        raise InputError(f"{path}: dlib's network has a known input; leave --color, --mean, --std and --size out")
    with whole_file(out) as temporary:
        write_onnx(path, temporary)
    return Imported(out, DLIB_CONTRACT.name, ("dlib",), DLIB_CONTRACT, "dlib's ResNet-29, written as ONNX")
