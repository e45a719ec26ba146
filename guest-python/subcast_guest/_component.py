"""The component's exports. Importable only where the bindings of `wit/resolver.wit` are."""

import sys
from functools import cache
from typing import Any

from wit_world.imports import log, types  # type: ignore[import-not-found]

from subcast_guest import _build, _json, _log, _schema, _subscription
from subcast_guest._runner import Runner
from subcast_guest._version import __version__


class Module:
    """The author's module, ready to be called."""

    def __init__(self) -> None:
        # Not imported here otherwise: `asyncio` would make every component larger.
        loop = None
        if "asyncio" in sys.modules:
            from subcast_guest._loop import Loop

            loop = Loop()
        self.runner = Runner(_subscription.definitions, loop)
        _log.install(log)
        _build.freeze()


module = cache(Module)
"""The one module of this component, made at the end of the build."""


class Resolvers:
    """`interface resolvers`. The runtime makes one for each exported function."""

    def __init__(self) -> None:
        self.resolve = module().runner.resolve

    def describe(self, limits: Any) -> Any:
        """The module's manifest."""
        _json.allow(limits.output)
        fields = [
            types.FieldManifest(
                name=each.field,
                function=each.qualname,
                file=each.file,
                line=each.line,
                channel=each.channel,
                events=list(each.events),
                matches=[types.Equality(argument, path) for argument, path in each.matches],
                where=each.where,
                context=each.takes_context,
                idempotent=each.idempotent,
                on_subscribe=False,
                example=each.example,
                extensions=None,
            )
            for each in _subscription.definitions
        ]
        return types.Manifest(
            sdk=f"subcast-guest {__version__}",
            schema=_schema.resolved,
            fields=fields,
            capabilities=[],
            extensions=None,
        )

    def subscribe(self, field: str, invocation: str) -> Any:
        """Every subscription is accepted: no field has a hook in this version."""
        return types.Admission_Accept(None)
