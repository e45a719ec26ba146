"""What resolvers raise, and what is raised at their authors."""

from collections.abc import Mapping
from typing import Any


class GraphQLError(Exception):
    """An error that the client may read.

    Every other exception reaches the client as an opaque error with an id; its text and
    traceback go to the host's log under the same id.

    `code` becomes `extensions.code`; `extensions`, a mapping of JSON values, is merged
    into the error's `extensions`. Raises `TypeError` for arguments of other types.
    """

    message: str
    code: str | None
    extensions: dict[str, Any] | None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(message, str):
            raise TypeError(f"GraphQLError: message must be a str, not {type(message).__name__}")
        if code is not None and not isinstance(code, str):
            raise TypeError(f"GraphQLError: code must be a str or None, not {type(code).__name__}")
        if extensions is not None and not isinstance(extensions, Mapping):
            raise TypeError(f"GraphQLError: extensions must be a mapping or None, not {type(extensions).__name__}")
        super().__init__(message)
        self.message = message
        self.code = code
        self.extensions = None if extensions is None else dict(extensions)


class DefinitionError(Exception):
    """A resolver or a schema is declared in a way that cannot work.

    Raised where the mistake is: by the decorator, by `schema()`, or by the build. The
    message names the file, the function, and what to change.
    """


class ValueRefused(Exception):
    """A resolver's value, or the way it waits, that the SDK cannot accept. Says what to change."""
