"""The contract of a balancing algorithm.

Law of this file: events keep the structure ready, a pick only reads it. `rebuild` may be slow; `pick`, `took` and
`dropped` run on every request and neither allocate, log, nor look at every backend.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..upstream.backend import Backend


class Balancer:
    """Chooses a backend for a request. Subclass it, and name the class in YAML as `module:Class`.

    Class attributes: `name` is the word used in YAML. `needs_key` says that `pick` wants a key; the configuration
    then has to say where the key comes from. An instance is made with the further parameters of the `balance`
    mapping as keyword arguments, and belongs to one upstream in one worker.
    """

    name = ""
    needs_key = False

    def rebuild(self, members: Sequence[Backend]) -> None:
        """The usable members have changed, or their weights. Called before the first pick."""

    def pick(self, key: bytes | None) -> Backend | None:
        """The backend for the next request, None if there is none. `key` is None unless `needs_key`."""

    def took(self, backend: Backend) -> None:
        """A request was given to `backend`."""

    def dropped(self, backend: Backend, seconds: float) -> None:
        """A request at `backend` is over, after `seconds`."""
