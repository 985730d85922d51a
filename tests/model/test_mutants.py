"""That the mutants still are mutants of the code as it is (`make mutants` runs them, which takes minutes)."""

import ast

import pytest

from model.defects import Mutant
from model.mutants import MUTANTS, ROOT, mutated, path_of

pytestmark = pytest.mark.usefixtures("collector_is_off")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_its_function_in_one_place_and_it_still_compiles(mutant: Mutant) -> None:
    text = (ROOT / path_of(mutant)).read_text()
    defective = mutated(mutant, text)
    assert defective != ast.unparse(ast.parse(text))
    compile(defective, mutant.place, "exec")


def test_an_edit_beside_a_defect_does_not_matter() -> None:
    mutant = Mutant("less", "hotswap.made_up:Made.up", "x < (1 + 2)", "x < 4", "nothing")
    text = "class Made:\n    def up(self, x):\n        # Why.\n        return f( x<1  +2 ,\n            3)\n"
    assert mutated(mutant, text) == "class Made:\n\n    def up(self, x):\n        return f(x < 4, 3)"
    with pytest.raises(SystemExit, match="2 times"):
        mutated(mutant, text.replace("3)", "x < 1 + 2)"))


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
