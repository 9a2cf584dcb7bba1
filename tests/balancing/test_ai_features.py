"""The linear model of what backends report."""

from __future__ import annotations

from proxy.balancing.ai_features import Features


def test_without_knowledge_all_are_alike() -> None:
    assert Features().predict((0.9, 0.9, 0.9)) == 1.0


def test_it_finds_what_makes_requests_slow() -> None:
    features = Features()
    for number in range(2000):
        busy = number % 2
        features.fit((float(busy), 0.5, 0.5), 3.0 if busy else 1.0)
    assert features.predict((1.0, 0.5, 0.5)) > 1.5 * features.predict((0.0, 0.5, 0.5))
    assert features.contributions((1.0, -1.0, -1.0)) == dict(
        zip(features.contributions((0, 0, 0)), (features.weights[0], 0.0, 0.0), strict=True)
    )


def test_what_is_good_is_no_reason_to_expect_worse() -> None:
    """More load never makes a backend look better: weights are not negative; and a guess has its bounds."""
    features = Features()
    for _ in range(500):
        features.fit((1.0, 1.0, 1.0), 0.01)
    assert features.predict((1.0, 1.0, 1.0)) == 1.0
    for _ in range(5000):
        features.fit((1.0, 0.0, 0.0), 1e9)
    assert features.predict((100.0, 0.0, 0.0)) <= 4.0 + 1e-9
