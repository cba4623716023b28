"""The model and the detector that are named on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.embedder import Embedder
    from facezoo.evaluation.photos import Locate
    from facezoo.evaluation.run import Benchmark, Embed, Embedded
    from facezoo.sdk import FaceAnalyzer
    from facezoo.types import FloatArray, Image

    EmbeddingsOf: TypeAlias = Callable[[Benchmark, Embed, Locate | None], Embedded]


@dataclass(frozen=True)
class Extraction:
    """How embeddings are made, as the options of a command say.

    Attributes:
        contract: TOML file of the model's contract, for a file that carries none.
        flip: replaces the contract's, unless None.
        batch_size, device: see `facezoo.embedder.load_embedder`.
        detector: spec; finds landmarks in raw photos that come without.
        features: folder in which embeddings are kept; None keeps none.
    """

    contract: Path | None = None
    flip: bool | None = None
    batch_size: int = 32
    device: str = "cpu"
    detector: str = "yunet:threads=1"
    features: Path | None = None

    def open(self, model: str) -> tuple[Embed, EmbeddingsOf]:
        """A model, or embeddings that were extracted, and what gives the embeddings of a benchmark by it."""
        from facezoo.contract import read_contract
        from facezoo.embedder import load_embedder
        from facezoo.evaluation import embed_photos
        from facezoo.evaluation.feature_file import is_features
        from facezoo.evaluation.features import Features, Stored

        if is_features(model):
            if self.contract or self.features:
                raise InputError(f"{model}: are embeddings with their contract; leave --contract and --features out")
            stored = Stored.open(Path(model), self.flip)
            return stored, stored.embedded
        if self.batch_size < 1:
            raise InputError(f"--batch-size is {self.batch_size}, it must be 1 or more")
        stated = read_contract(self.contract) if self.contract else None
        embed = load_embedder(model, contract=stated, batch_size=self.batch_size, device=self.device, flip=self.flip)
        if self.features is None:
            return embed, embed_photos
        return embed, Features(self.features, model_digest(model, embed), self.detector)

    def locate(self, benchmarks: Sequence[Benchmark]) -> Locate | None:
        """Finds the main face of a photo by the detector, which is loaded with the first photo; None if none is raw."""
        from facezoo.evaluation import needs_locate

        if not any(needs_locate(benchmark) for benchmark in benchmarks):
            return None
        loaded: list[FaceAnalyzer] = []

        def locate(image: Image) -> FloatArray | None:
            from facezoo.sdk import FaceAnalyzer

            if not loaded:
                loaded.append(FaceAnalyzer(self.detector))
            return loaded[0].locate(image)

        return locate


def made_benchmarks(specs: Sequence[str], resamples: int | None = None, seed: int | None = None) -> list[Any]:
    """Benchmarks of spec strings; `resamples` and `seed` of the intervals replace those of the specs unless None."""
    from facezoo.registry import BENCHMARKS

    changes = {name: value for name, value in (("resamples", resamples), ("seed", seed)) if value is not None}
    made = [replace(BENCHMARKS.create(spec), **changes) for spec in specs]
    return [replace(each, name=name) for each, name in zip(made, told_apart([each.name for each in made], specs))]


def check_fit(model: str, embed: Embed, benchmarks: Sequence[Benchmark]) -> None:
    """Refuse a model that does not fit one of the benchmarks, before photos of the first are embedded.

    Raises:
        InputError: crops of another template than the model wants, or mirror images that a protocol takes apart.
    """
    from facezoo.evaluation.feature_file import is_features
    from facezoo.evaluation.photos import Crops
    from facezoo.evaluation.run import check_flip

    for benchmark in benchmarks:
        check_flip(benchmark, embed.contract)
        if not is_features(model):
            Crops((), embed.contract, benchmark.aligned)


def told_apart(names: Sequence[str], specs: Sequence[str]) -> list[str]:
    """Names of benchmarks; where several have one, what is particular to each spec stands behind it.

    Raises:
        InputError: a benchmark is given twice.
    """
    from facezoo.registry import parse_spec

    words: list[dict[str, None]] = []
    for spec in specs:
        kind, options = parse_spec(spec)
        words.append(dict.fromkeys([kind, *(f"{key}={value}" for key, value in options.items())]))
    found = []
    for place, name in enumerate(names):
        others = [words[k] for k in range(len(names)) if names[k] == name and k != place]
        own = [word for word in words[place] if not all(word in other for other in others)]
        found.append(f"{name} ({', '.join(own)})" if own else name)
    if len(set(found)) < len(found):
        twice = next(spec for spec, name in zip(specs, found) if found.count(name) > 1)
        raise InputError(f"{twice}: the same benchmark is given twice")
    return found


def load_analyzer(model: str, contract: Path | None, detector: str) -> FaceAnalyzer:
    """Detector and model as one; `contract` is the TOML file of a model that carries none."""
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder
    from facezoo.sdk import FaceAnalyzer

    stated = read_contract(contract) if contract else None
    return FaceAnalyzer(detector, load_embedder(model, contract=stated))


def model_digest(model: str, embed: Embedder) -> str:
    """What tells these weights from others: the file's digest, else that of the contract."""
    from facezoo.zoo.cache import digest

    path = Path(model)
    if path.is_dir():
        path = path / "best.safetensors"
    if path.is_file():
        return digest(path)
    if not embed.contract.weights_sha256:
        raise InputError(f"{model}: states no digest of its weights, so its embeddings cannot be kept on disk")
    return embed.contract.weights_sha256


def load_model(model: str, contract: Path | None, batch_size: int, device: str) -> tuple[Embedder, str]:
    """An embedder and the digest of its weights; `contract` is the TOML file of a model that carries none."""
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder

    stated = read_contract(contract) if contract else None
    embed = load_embedder(model, contract=stated, batch_size=batch_size, device=device)
    return embed, model_digest(model, embed)
