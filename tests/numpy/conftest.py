"""Fixtures: a runner, and every implementation that this machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from runner import Implementation, Runner, implementations


@pytest.fixture(scope="session")
def runner(
    tmp_path_factory: pytest.TempPathFactory,
    record_testsuite_property: Callable[[str, object], None],
) -> Iterator[Runner]:
    """Runs calls; at the end notes in the report what was run."""
    runner = Runner(tmp_path_factory.mktemp("cases"))
    yield runner
    record_testsuite_property("levels", " ".join(sorted(runner.levels)))
    record_testsuite_property("operators", " ".join(sorted(runner.operators)))


@pytest.fixture(scope="session", params=implementations(), ids=str)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Each implementation in turn."""
    found: Implementation = request.param
    return found
