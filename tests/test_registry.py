import sys
from typing import Literal

import pytest

from facezoo.options import options_of
from facezoo.registry import DATASETS, Registry, parse_spec, without_option
from facezoo.types import InputError


class Net:
    """Numbers of the paper's table first, options after."""

    def __init__(self, depth: int, /, *, dim: int = 512, size: tuple[int, int] = (112, 112), gamma: float | None = 1.0):
        self.depth, self.dim, self.size, self.gamma = depth, dim, size, gamma


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A registry whose home is an empty package."""
    (tmp_path / "home_of_nets.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[Net] = Registry("net", "home_of_nets")

    @registry.register
    def net50(**options) -> Net:
        return Net(50, **options)

    @registry.register(name="mode")
    def mode(kind: Literal["a", "b"]) -> Net:
        return Net(1, dim=ord(kind))

    yield registry
    sys.modules.pop("home_of_nets", None)


def test_a_spec_is_a_name_and_options():
    assert parse_spec("net50") == ("net50", {})
    assert parse_spec("net50:dim=8, size=(96,112)") == ("net50", {"dim": "8", "size": "(96,112)"})
    assert parse_spec("timm:resnet50,dim=8") == ("timm", {"": "resnet50", "dim": "8"})
    assert parse_spec("lfw:root=a=b:c") == ("lfw", {"root": "a=b:c"})


@pytest.mark.parametrize(("spec", "why"), [("net:a,dim", "is not key=value"), ("net:dim=1,dim=2", "given twice")])
def test_a_spec_that_is_no_spec_is_refused(spec, why):
    with pytest.raises(InputError, match=why):
        parse_spec(spec)


def test_options_become_the_types_of_their_parameters(nets):
    net = nets.create("net50:dim=128,size=(96,112),gamma=none")

    assert (net.depth, net.dim, net.size, net.gamma) == (50, 128, (96, 112), None)


def test_a_variant_takes_the_options_of_its_class(nets):
    assert list(options_of(nets.factory("net50"))) == ["dim", "size", "gamma"]


def test_text_wins_over_what_code_gives(nets):
    assert nets.create("net50:dim=8", dim=16).dim == 8
    assert nets.create("net50", dim=16).dim == 16


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("net51", r"unknown net 'net51' \(did you mean net50[?]\); known: mode, net50$"),
        ("tree", "unknown net 'tree'; known: mode, net50$"),
        ("net50:width=1", "has no option 'width'; its options: dim, gamma, size$"),
        ("net50:sise=1", r"has no option 'sise' \(did you mean size[?]\); its options: dim, gamma, size$"),
        ("net50:dim=many", "option dim='many': Input should be a valid integer"),
        ("mode", "needs kind: write mode:kind="),
        ("mode:kind=c", "Input should be 'a' or 'b'"),
    ],
)
def test_a_wrong_spec_is_one_sentence_with_the_choices(nets, spec, why):
    with pytest.raises(InputError, match=why) as caught:
        nets.create(spec)
    assert "\n" not in str(caught.value)


def test_options_that_follow_from_code_are_not_offered(nets):
    with pytest.raises(InputError, match=r"has no option 'gama' \(did you mean gamma[?]\); its options: gamma, size$"):
        nets.create_for("net50:gama=1", dim=8, other=3)


def test_a_name_is_taken_once(nets):
    with pytest.raises(ValueError, match="registered twice"):
        nets.register(Net, name="net50")


def test_names_are_sorted_and_looked_up(nets):
    assert nets.names() == ["mode", "net50"]
    assert "net50" in nets
    assert "net51" not in nets


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quoted_value_may_hold_commas_and_brackets(quote):
    spec = f"folder:root={quote}a, (b{quote},min_images=2"

    assert parse_spec(spec) == ("folder", {"root": "a, (b", "min_images": "2"})


def test_an_apostrophe_inside_a_value_is_kept():
    assert parse_spec("folder:root=it's here,min_images=2") == ("folder", {"root": "it's here", "min_images": "2"})


@pytest.mark.parametrize(
    ("spec", "less"),
    [
        ("toy:a=1,b=(2,3)", "toy:b=(2,3)"),
        ("toy:b='x, a=1',a=2", "toy:b='x, a=1'"),
        ("toy:a=1", "toy"),
        ("toy:first", "toy:first"),
        ("toy", "toy"),
    ],
)
def test_an_option_can_be_taken_out_of_a_spec(spec, less):
    assert without_option(spec, "a") == less


@pytest.mark.parametrize("sets", ["['a','b']", "[a]", "a"])
def test_what_is_no_list_is_told_of_brackets_and_both_quotes(sets):
    with pytest.raises(InputError, match=r"a list in brackets, .* double quotes: .* single quotes"):
        DATASETS.create(f"multi:sets={sets}")


def test_a_change_gives_its_options_to_every_part():
    parts = Registry("shape", "facezoo.data")

    @parts.register
    def square(side: int = 1) -> list[int]:
        return [side, side]

    @parts.change
    def turned(made: list[int], turn: int | None = None, times: int = 1) -> tuple[list[int], int]:
        return made, turn * times

    assert parts.create("square:side=2") == [2, 2] and parts.create("square:turn=none") == [1, 1]
    assert parts.create("square:side=2,turn=3,times=4") == ([2, 2], 12)
    assert list(options_of(parts.factory("square"))) == ["side", "turn", "times"]
    with pytest.raises(InputError, match="square: times does nothing without turn"):
        parts.create("square:times=4")
    with pytest.raises(InputError, match=r"no option 'trun' \(did you mean turn\?\); its options: side, times, turn"):
        parts.create("square:trun=4")

    @parts.register
    def circle(turn: int = 0) -> list[int]:
        return [turn]

    with pytest.raises(ValueError, match="circle: its option 'turn' is one that every part takes"):
        parts.create("circle")
