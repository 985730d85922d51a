"""The public names: what a type checker sees is what a program gets."""

import ast
from pathlib import Path

import pytest

import hotswap


@pytest.mark.usefixtures("collector_is_off")
def test_a_type_checker_finds_each_public_name_where_it_is_imported_from():
    tree = ast.parse(Path(hotswap.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert {alias.asname: node.module for node in block.body for alias in node.names} == hotswap._MODULE_OF


def test_what_is_not_public_is_not_there():
    assert set(dir(hotswap)) == set(hotswap.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Timeline'"):
        _ = hotswap.Timeline
