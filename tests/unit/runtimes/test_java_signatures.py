"""A method as a configuration names it: with the types of its parameters, if there are several of that name."""

from types import SimpleNamespace

import pytest

from hotswap.runtimes.java.methods import Signature


def method(name, *types):
    kinds = [SimpleNamespace(getTypeName=lambda t=t: t, getSimpleName=lambda t=t: t.rpartition(".")[2]) for t in types]
    return SimpleNamespace(getName=lambda: name, getParameterTypes=lambda: kinds)


@pytest.mark.parametrize(
    ("given", "name", "types"),
    [
        ("add", "add", None),
        (" add ", "add", None),
        ("add()", "add", ()),
        ("add(long,long)", "add", ("long", "long")),
        ("add( long , double... ) -> String", "add", ("long", "double[]")),
        ("of(Map<String, List<Double>>, List<?>[])", "of", ("Map", "List[]")),
        ("add(long", "add", ()),
    ],
)
def test_a_signature_is_read_as_people_write_it_and_as_messages_show_it(given, name, types):
    assert Signature.read(given) == Signature(name, types)


def test_a_method_is_named_by_its_parameters_types_with_their_packages_or_without():
    one = method("add", "java.util.List", "long[]")
    for given in ("add", "add(List<Double>, long[])", "add(java.util.List,long...)"):
        assert Signature.read(given).is_of(one), given
    for given in ("sub", "add()", "add(List)", "add(List, int[])", "add(util.List, long[])", "add(List, long[], int)"):
        assert not Signature.read(given).is_of(one), given
