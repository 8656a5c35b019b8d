import importlib

import pytest

from footfall.errors import FootfallError
from footfall.exports import lazy_exports

ROOMS = ("personas", "simulator", "finetune", "eval")


def test_a_name_is_taken_from_its_home_when_it_is_asked_for():
    find = lazy_exports("footfall", {"FootfallError": "errors"})
    assert find("FootfallError") is FootfallError


def test_an_unknown_name_is_an_attribute_error_that_names_the_room():
    find = lazy_exports("footfall", {"FootfallError": "errors"})
    with pytest.raises(AttributeError, match=r"'footfall' has no attribute 'Nothing'"):
        find("Nothing")


def test_a_home_is_not_imported_before_it_is_needed():
    find = lazy_exports("footfall", {"Gone": "no_such_module"})
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        find("Gone")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_can_be_taken(room):
    module = importlib.import_module(f"footfall.{room}")
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.Nothing
