"""Secrets in parameters: a value marked as ``{secret: value}`` is masked wherever it is logged or stored."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

MARK = "secret"


def hide_secrets(value: Any) -> Any:
    """Return a copy of nested values in which each ``{secret: value}`` is a ``SecretStr``, which prints as stars."""
    if isinstance(value, Mapping):
        if set(value) == {MARK}:
            return value[MARK] if isinstance(value[MARK], SecretStr) else SecretStr(str(value[MARK]))
        return {name: hide_secrets(inner) for name, inner in value.items()}
    return [hide_secrets(inner) for inner in value] if isinstance(value, list) else value


def reveal_secrets(value: Any) -> Any:
    """Return a copy of nested values with secrets in plain text, which must not be logged or stored."""
    if isinstance(value, Mapping):
        return {name: reveal_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [reveal_secrets(inner) for inner in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def redact(text: str, value: Any) -> str:
    """Return ``text`` with each secret in ``value`` replaced by stars."""
    for secret in _secrets(value):
        text = text.replace(secret.get_secret_value(), str(secret)) if secret else text
    return text


def _secrets(value: Any) -> Iterator[SecretStr]:
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)
