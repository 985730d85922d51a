"""What is quoted of Spark's errors, whose messages go on for pages."""

import pytest

from hotswap.runtimes.spark.session import first_paragraph


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (
            (
                'Encountered null while assembling a row with handleInvalid = "error". Consider\n'
                'removing nulls from dataset or using handleInvalid = "keep" or "skip".'
            ),
            (
                'Encountered null while assembling a row with handleInvalid = "error". Consider '
                'removing nulls from dataset or using handleInvalid = "keep" or "skip".'
            ),
        ),
        (
            (
                "\n[UNRESOLVED_COLUMN] A column with name `a` cannot be resolved.  SQLSTATE: 42703; line 1 pos 92;\n"
                "'Project [*, ('a * 2) AS twice#1]\n+- SubqueryAlias t"
            ),
            "[UNRESOLVED_COLUMN] A column with name `a` cannot be resolved. SQLSTATE: 42703; line 1 pos 92",
        ),
        ("[PARSE_SYNTAX_ERROR] Syntax error at 'of'. SQLSTATE: 42601\n\n== SQL ==\nage of x", None),
        ("Division by zero.\n== SQL (line 1, position 14) ==\nSELECT a / c", "Division by zero."),
    ],
    ids=["two lines", "a plan", "a blank line", "a heading"],
)
def test_a_message_is_quoted_in_whole_sentences(text, quoted):
    assert first_paragraph(text) == (quoted or "[PARSE_SYNTAX_ERROR] Syntax error at 'of'. SQLSTATE: 42601")


def test_a_message_that_is_too_long_is_cut_at_a_word_and_says_so():
    said = first_paragraph("null " * 1_000)
    assert (said[-6:], len(said) <= 1_000) == ("null …", True)
