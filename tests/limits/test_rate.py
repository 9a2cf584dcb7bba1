"""What a rate limit says, and how a client is told."""

from __future__ import annotations

from proxy.limits.rate import SECOND, RateSpec, bucket_key, salt_of


def test_numbers() -> None:
    spec = RateSpec("x", 100, 10.0, 20)
    assert (spec.interval, spec.depth) == (SECOND // 10, 2 * SECOND)
    assert RateSpec("x", 10**9, 1.0, 1).interval == 1


def test_a_refusal_says_when_to_come_again_rounded_up() -> None:
    fields = RateSpec("per-client", 100, 60.0, 20).refusal(1_200_000_000)
    assert fields == (
        ("Retry-After", "2"),
        ("RateLimit-Policy", '"per-client";q=100;w=60'),
        ("RateLimit", '"per-client";r=0;t=2'),
    )


def test_keys_are_told_apart_by_limit_and_secret() -> None:
    salts = {salt_of(secret, name) for secret in (0, -1, 2**63 - 1) for name in ("a", "b")}
    assert len({bucket_key(salt, b"192.0.2.1") for salt in salts}) == 6
    assert bucket_key(salt_of(1, "a"), b"x") == bucket_key(salt_of(1, "a"), b"x") != bucket_key(salt_of(1, "a"), b"y")


def test_every_key_has_a_number_of_64_bits_and_none_is_0() -> None:
    salt = salt_of(1, "a")
    numbers = {bucket_key(salt, b"%d" % n) for n in range(10_000)}
    assert len(numbers) == 10_000
    assert all(-(2**63) <= number < 2**63 and number for number in numbers)
