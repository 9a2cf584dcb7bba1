"""Reason phrases (RFC 9110 15), by status."""

from __future__ import annotations

from http import HTTPStatus

PHRASES = {status.value: status.phrase for status in HTTPStatus}
