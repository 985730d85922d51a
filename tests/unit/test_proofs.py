"""How runs of the proofs are recorded and shown, on synthetic runs."""

import json
import re
from collections import Counter

import pytest

from harness import proofs
from harness.proofs import Run, parse, promises, recorded, render

COMMIT = "0123456789abcdef"
PROMISED = {"kills": ["each request is answered once", "in order"]}


def run(proof="kills", **given):
    return Run(**{"proof": proof, "seed": 7, "length": 600, "full_length": 600, "commit": COMMIT} | given)


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A git tree, faked by the output of two commands, and a file for the runs."""
    told = {"status": "", "rev-parse": f"{COMMIT}\n"}
    monkeypatch.setattr(proofs, "_git", lambda command, *_: told[command])
    monkeypatch.setattr(proofs, "RUNS", tmp_path / "build" / "proofs.jsonl")
    monkeypatch.setattr(proofs, "PAGE", tmp_path / "build" / "proofs.md")
    monkeypatch.setenv("RECORD", "1")
    return told


def the_runs():
    return parse(proofs.RUNS.read_text()) if proofs.RUNS.exists() else []


@pytest.mark.parametrize(
    ("proof", "findings", "verdict"),
    [
        ("kills", 0, "holds"),
        ("kills", 2, "BROKEN, 2 findings"),
        ("red-unfenced", 4, "found out"),
        ("red-unfenced", 0, "BROKEN, 0 findings"),
    ],
)
def test_a_proof_holds_without_findings_and_a_red_one_with_them(proof, findings, verdict):
    assert f"| {verdict} |\n" in render([run(proof, findings=findings)], {})


def test_a_row_has_promises_commit_seed_length_and_the_scalar_figures():
    figures = {"acknowledged": 603621, "by kind": {"a": 1}, "gap, s": 1.504, "model": "a|b"}
    page = render([run(date="2026-11-26", seconds=634.4, figures=figures)], PROMISED)
    assert (
        "| each request is answered once<br>in order | `make kills` | 0123456, 2026-11-26 | 7 | 600 "
        "| acknowledged: 603,621; gap, s: 1.5; model: a\\|b; took, s: 634 | holds |\n"
    ) in page


def test_a_short_run_says_so():
    assert "| 7 | 60 of 600 |" in render([run(length=60)], {})


def test_the_page_names_the_proofs_without_a_run():
    page = render([run("kills TRANSACTIONS=1")], PROMISED | {"storm": ["no partition stalls"]})
    assert "| each request is answered once<br>in order | `make kills TRANSACTIONS=1` |" in page
    assert page.endswith("\nWithout a run: `make storm`.\n")


def test_make_proofs_plays_what_reliability_promises_and_nothing_else():
    makefile = (proofs.ROOT / "Makefile").read_text()
    lists = re.findall(r"^(?:PROOFS|RED|OTHER_PROOFS) := ((?:.*\\\n)*.*)", makefile, re.MULTILINE)
    played = " ".join(lists).replace("\\\n", " ").split()
    assert sorted(promises(proofs.PROMISES.read_text())) == sorted(played)


def test_a_recorded_run_has_its_commit_and_reads_back_unchanged(tree):
    with recorded("bad-swaps", seed=3, length=200, full_length=200) as made:
        made.figures, made.findings = {"codes": Counter({"STALE": 2}), "slowest": (1, 2.5)}, 1
    (read,) = the_runs()
    assert (read.proof, read.seed, read.commit, read.findings) == ("bad-swaps", 3, COMMIT, 1)
    assert read.figures == {"codes": {"STALE": 2}, "slowest": [1, 2.5]}
    assert read.seconds >= 0
    assert read.date


def test_runs_are_appended_one_object_a_line(tree):
    for seed in (1, 2):
        with recorded("kills", seed=seed, length=1, full_length=600):
            pass
    assert [json.loads(line)["seed"] for line in proofs.RUNS.read_text().splitlines()] == [1, 2]


def test_the_page_has_the_runs_of_one_commit_only(tree):
    for commit in ("another", "newest", "newest"):
        tree["rev-parse"] = f"{commit}\n"
        with recorded("kills", seed=1, length=1, full_length=1):
            pass
    assert proofs.PAGE.read_text().count("`make kills` | newest,") == 2
    assert "another" not in proofs.PAGE.read_text()


@pytest.mark.parametrize("proof", ["model", "red-unfenced"])
def test_a_run_that_ends_with_an_error_does_not_hold_not_even_a_red_one(tree, proof):
    with pytest.raises(ValueError, match="broken"), recorded(proof, seed=0, length=1, full_length=1):
        raise ValueError("broken\nwith more")
    (read,) = the_runs()
    assert not read.holds
    assert "| BROKEN, ValueError: broken |" in proofs.PAGE.read_text()


def test_a_run_that_is_interrupted_is_not_recorded(tree):
    with pytest.raises(KeyboardInterrupt), recorded("model", seed=0, length=1, full_length=1):
        raise KeyboardInterrupt
    assert the_runs() == []


def test_recording_on_a_dirty_tree_is_refused_before_the_run(tree):
    tree["status"] = " M worker/hotswap/swap.py\n"
    played = []
    with pytest.raises(SystemExit, match=r"clean git tree; .*\n M worker/hotswap/swap.py"):  # noqa: SIM117
        with recorded("kills", seed=1, length=1, full_length=1):
            played.append("kills")
    assert played == []


@pytest.mark.parametrize("change", [{"status": " M worker/hotswap/swap.py\n"}, {"rev-parse": "another\n"}])
def test_a_run_in_which_the_tree_changed_is_not_recorded(tree, change):
    with pytest.raises(SystemExit), recorded("kills", seed=1, length=1, full_length=1):
        tree |= change
    assert the_runs() == []


def test_without_record_any_tree_will_do_and_nothing_is_recorded(tree, monkeypatch):
    monkeypatch.delenv("RECORD")
    tree["status"] = " M worker/hotswap/swap.py\n"
    with recorded("kills", seed=1, length=1, full_length=1):
        pass
    assert the_runs() == []
