"""A short run of the comparison of two deployments; `make compared` plays it with a million requests."""

from faults import compared


async def test_the_command_tells_what_a_join_of_all_answers_finds(deployment):
    figures = await compared.run(deployment, seed=1, count=3_000, say=lambda _: None)
    assert figures.findings == []
    assert figures.rows + figures.refused == 3_000
    assert figures.generations == [(1, 1), (2, 1)]
    assert figures.flips
    assert figures.refused
