"""What `make release-check` decides: each of its faults is found, and a good release has none."""

import pytest

from release import distributions, environments, licences

GOOD = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-11-28

### Added

- All of it.

## [0.1.0] - 2026-11-24
"""


def test_a_release_whose_version_and_changelog_and_tag_agree_has_no_fault():
    assert distributions.compare_versions("0.2.0", GOOD, "v0.2.0") == []
    assert distributions.compare_versions("0.2.0", GOOD, "") == []


@pytest.mark.parametrize(
    ("version", "changelog", "tag", "fault"),
    [
        ("0.3.0", GOOD, "", "CHANGELOG.md's newest version is 0.2.0, and the package's 0.3.0"),
        ("0.2.0", "# Changelog", "", "CHANGELOG.md's newest version is none"),
        ("0.2.0", GOOD.replace("0.1.0", "0.10.0"), "", "do not fall from top to bottom"),
        ("0.2.0", GOOD.replace(" - 2026-11-28", ""), "", "has no date for 0.2.0"),
        ("0.2.0", GOOD, "v0.2.1", "the tag is v0.2.1, and the version 0.2.0"),
        ("0.2.0", GOOD.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "v0.2.0", "has unreleased entries"),
    ],
)
def test_where_they_do_not_agree_it_is_said(version, changelog, tag, fault):
    (found,) = distributions.compare_versions(version, changelog, tag)
    assert fault in found


def test_unreleased_entries_are_no_fault_before_the_tag():
    changelog = GOOD.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n")
    assert distributions.compare_versions("0.2.0", changelog, "") == []


def test_what_a_distribution_lacks_and_has_besides_is_named():
    found = distributions.differences("a.whl", {"hotswap/a.py", "hotswap/.env"}, ["hotswap/a.py", "hotswap/a.jar"])
    assert found == ["a.whl lacks hotswap/a.jar", "a.whl has hotswap/.env, which it should not"]


def test_the_support_list_is_what_the_metadata_says():
    assert environments.support_list() == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0 OR BSD-3-Clause", "BSD-3-Clause AND 0BSD AND Zlib"])
def test_a_licence_that_asks_for_a_notice_at_most_is_accepted(licence):
    assert licences.is_accepted("some-package", licence)


@pytest.mark.parametrize("licence", ["GPL-3.0", "AGPL-3.0-only", "MIT AND LGPL-2.1", "?", ""])
def test_another_one_has_to_be_looked_at(licence):
    assert not licences.is_accepted("some-package", licence)


def test_a_lock_is_read_without_its_hashes(tmp_path):
    lock = tmp_path / "requirements.lock"
    text = "one==1.0 \\\n    --hash=sha256:00\n    # via two\ntwo==2.0 ; sys_platform == 'linux' \\\n"
    lock.write_text(text + "    --hash=sha256:11\n")
    assert [pin.line for pin in licences.read_lock(lock)] == ["one==1.0", "two==2.0 ; sys_platform == 'linux'"]
