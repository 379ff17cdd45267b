"""Secrets among the parameters: marked ``{secret: value}``, told to whom they are meant for, and to nobody else."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

MARK = "secret"


def hide_secrets(value: Any) -> Any:
    """Copy nested values, with a ``SecretStr``, which shows as stars, for every mapping that is marked as a secret.

    Args:
        value: Parameters as they are written; ``{secret: x}`` marks x, wherever it stands.
    """
    if isinstance(value, Mapping):
        if set(value) == {MARK}:
            return value[MARK] if isinstance(value[MARK], SecretStr) else SecretStr(str(value[MARK]))
        return {name: hide_secrets(inner) for name, inner in value.items()}
    return [hide_secrets(inner) for inner in value] if isinstance(value, list) else value


def reveal_secrets(value: Any) -> Any:
    """Copy nested values with every secret as plain text: for the call that needs it, not for keeping."""
    if isinstance(value, Mapping):
        return {name: reveal_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [reveal_secrets(inner) for inner in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def redact(text: str, value: Any) -> str:
    """Return ``text`` with stars in the place of every secret within ``value``."""
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
