"""The GraphQL schema of a module: `schema.graphql` beside it, or a text in it."""

import os.path
import sys
from dataclasses import dataclass

from subcast_guest._errors import DefinitionError
from subcast_guest._sources import relative

FILE = "schema.graphql"


@dataclass(frozen=True, slots=True)
class _Declared:
    sdl: str
    location: str


declared: list[_Declared] = []

resolved = ""
"""What `load` found, for the manifest."""


def schema(sdl: str) -> None:
    """Declare the module's GraphQL schema, where there is no `schema.graphql` beside it.

    Called at the top level of the module, once. Raises `DefinitionError` if `sdl` is not
    a text with something in it; the build checks what it says.
    """
    caller = sys._getframe(1)
    location = f"{relative(caller.f_code.co_filename)}:{caller.f_lineno}"
    if not isinstance(sdl, str) or not sdl.strip():
        raise DefinitionError(
            f'{location}: schema() takes the schema as a text, such as schema("type Subscription {{ … }}")'
        )
    declared.append(_Declared(sdl, location))


def load(folder: str, module: str) -> str:
    """The schema of the file `module` in `folder`. Raises `DefinitionError` unless there is exactly one."""
    path = os.path.join(folder, FILE)
    in_file = os.path.exists(path)
    if len(declared) > 1:
        places = " and ".join(each.location for each in declared)
        raise DefinitionError(f"schema() is called twice, at {places}: put everything into one call")
    if declared and in_file:
        raise DefinitionError(
            f"{declared[0].location} calls schema(), and there is a {FILE} beside {module}: remove one of them"
        )
    if declared:
        return declared[0].sdl
    if not in_file:
        raise DefinitionError(
            f'{module} has no GraphQL schema: write {FILE} beside it, or call subcast_guest.schema("""…""") in it'
        )
    with open(path, "rb") as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{FILE} is not UTF-8 (byte {error.start}): save it in that encoding") from None
