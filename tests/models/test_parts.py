"""Parts: copies with other attributes, and closed forms that go with what they are closed forms of."""

from copy import deepcopy

import pyro
import pytest
import torch
from torch import Tensor, nn

from pyro_mixdvae.models import Part, closed_form


class Base(Part):
    """A contract: `area` is derived of `side`, and `twice` of `area`."""

    def __init__(self, length: float = 2.0) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("scale", torch.tensor(1.0))
        self.weight = nn.Parameter(torch.tensor(3.0))
        self.layer = nn.Linear(2, 2)

    def side(self) -> float:
        return self.length

    def area(self) -> float:
        return self.side() ** 2

    def twice(self) -> float:
        return 2 * self.area()


class Closed(Base):
    @closed_form("side")
    def area(self) -> float:
        return -1.0  # to be told from what is derived

    @closed_form("side", "area")
    def twice(self) -> float:
        return -2.0


class OtherSide(Closed):
    def side(self) -> float:
        return 3.0


class OtherArea(Closed):
    def area(self) -> float:
        return 5.0


class BothAgain(OtherSide):
    @closed_form("side")
    def area(self) -> float:
        return 9.0


class Nothing(Closed):
    pass


class BelowThem(Nothing):
    def side(self) -> float:
        return 4.0


class Mixin:
    def side(self) -> float:
        return 6.0


class Mixed(Mixin, Closed):
    pass


@pytest.mark.parametrize(
    ("kind", "area", "twice"),
    [
        (Closed, -1.0, -2.0),
        (Nothing, -1.0, -2.0),
        (OtherSide, 9.0, 18.0),
        (OtherArea, 5.0, 10.0),
        (BothAgain, 9.0, 18.0),
        (BelowThem, 16.0, 32.0),
        (Mixed, 36.0, 72.0),
    ],
)
def test_a_closed_form_goes_where_what_it_stands_on_is_overridden(kind: type[Base], area: float, twice: float) -> None:
    assert (kind().area(), kind().twice()) == (area, twice)


def test_the_base_class_keeps_its_closed_forms() -> None:
    class Late(Closed):
        def side(self) -> float:
            return 7.0

    assert Late().area() == 49.0
    assert Closed().area() == -1.0


def test_closed_forms_of_what_nobody_derives_are_refused() -> None:
    class Alone(Part):
        def side(self) -> float:
            return 1.0

        @closed_form("side")
        def area(self) -> float:
            return 1.0

    with pytest.raises(TypeError, match="area has only closed forms of what it overrides"):

        class Below(Alone):
            def side(self) -> float:
                return 2.0


class TestReplace:
    def test_a_number_a_buffer_a_parameter_and_a_module(self) -> None:
        part, layer = Base(), nn.Linear(2, 2)
        other = part.replace(length=5.0, scale=torch.tensor(7.0), weight=nn.Parameter(torch.tensor(1.0)), layer=layer)
        assert type(other) is Base
        assert (other.length, float(other.scale), other.weight.item()) == (5.0, 7.0, 1.0)
        assert (part.length, float(part.scale), part.weight.item()) == (2.0, 1.0, 3.0)
        assert other.layer is layer
        assert part.layer is not layer
        assert dict(other.named_buffers()).keys() == {"scale"}
        assert len(list(other.parameters())) == 3

    def test_what_stays_is_shared(self) -> None:
        part = Base()
        other = part.replace(length=5.0)
        assert other.weight is part.weight
        assert other.layer is part.layer

    def test_what_is_not_there_cannot_be_replaced(self) -> None:
        with pytest.raises(AttributeError, match="Base has no attribute 'width' to replace"):
            Base().replace(width=1.0)

    def test_subclasses_keep_their_class(self) -> None:
        assert type(OtherSide().replace(length=1.0)) is OtherSide

    def test_a_copy_of_a_copy_is_its_own(self) -> None:
        first = Base().replace(length=3.0)
        second = deepcopy(first).replace(scale=torch.tensor(9.0))
        with torch.no_grad():
            second.weight.fill_(0.0)
        assert first.weight.item() == 3.0
        assert second.length == 3.0

    def test_it_moves_to_other_dtypes_with_all_it_has(self) -> None:
        other = Base().replace(scale=torch.tensor(2.0)).to(torch.float32)
        assert other.scale.dtype == other.weight.dtype == other.layer.weight.dtype == torch.float32


class Runs(Part):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self) -> Tensor:
        return self.weight * 2


def test_parameters_are_a_part_s_own() -> None:
    """Pyro's store of parameters stays empty, and what it holds under the same name is not read."""
    pyro.param("weight", torch.tensor(100.0))
    assert Runs()().item() == 6.0
    assert list(pyro.get_param_store().keys()) == ["weight"]


def test_a_part_that_has_run_may_go_into_others() -> None:
    class Holds(Part):
        def __init__(self, part: Part) -> None:
            super().__init__()
            self.part = part

        def forward(self) -> Tensor:
            return self.part()

    inner = Runs()
    middle = Holds(inner)
    middle()
    assert Holds(middle)().item() == Holds(middle)().item() == middle().item() == 6.0
