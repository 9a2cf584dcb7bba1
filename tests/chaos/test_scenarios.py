"""The scenarios, one test each. `make chaos` prints them as a table."""

from __future__ import annotations

import pytest

from tests.chaos.suite.scenario import Scenario
from tests.chaos.suite.table import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_scenario(scenario: Scenario) -> None:
    verdict = await scenario.play()
    assert verdict.passed, f"{'; '.join(verdict.wrong)}. Clients saw: {verdict.seen}"
