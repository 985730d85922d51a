"""A short run of a table through the real `hotswap predict`; `make million` plays it in full, and checks memory."""

from faults import million


async def test_predict_prints_exactly_one_answer_for_each_row_and_draws_its_bar_to_the_end(deployment):
    figures = await million.run(deployment, seed=1, count=3_000, say=lambda _: None)
    assert figures.findings == []
    assert (figures.answers, figures.bar) == (3_000, "3000/3000")


def test_a_command_that_keeps_its_rows_in_memory_is_found_out():
    figures = million.Figures(1_000_000, megabytes=[70 + second for second in range(60)])
    million.check_memory(figures)
    assert figures.findings == ["the command grew from 85 to 129 MB"]
