"""Real-time GraphQL subscriptions whose resolvers run in a WebAssembly sandbox, inside your own process.

```python
from fastapi import FastAPI
from subcast import EventBusConfig, SubscriptionManager
from subcast.integrations.fastapi import SubscriptionRouterFactory

manager = SubscriptionManager(EventBusConfig.memory(), module="resolvers.py")
app = FastAPI()
app.include_router(SubscriptionRouterFactory.create(manager))
```

Clients subscribe at `/graphql/subscriptions` with `graphql-transport-ws`; the application
publishes with `await manager.publish_event("userUpdated", "users", {...})`.
"""

from subcast._adapter import Disconnected, WebSocketAdapter
from subcast._authentication import AuthenticationRequest, OnAuthenticate
from subcast._bus import EventBusConfig
from subcast._channel import channel
from subcast._handler import GraphQLTransportWSHandler
from subcast._manager import ServerAddress, SubscriptionManager
from subcast._native import (
    BuildError,
    BusUnavailable,
    ConfigError,
    InternalError,
    ModuleLoadError,
    PublishError,
    ServeError,
    SubcastError,
    SubcastWarning,
    __version__,
)

__all__ = [
    "AuthenticationRequest",
    "BuildError",
    "BusUnavailable",
    "ConfigError",
    "Disconnected",
    "EventBusConfig",
    "GraphQLTransportWSHandler",
    "InternalError",
    "ModuleLoadError",
    "OnAuthenticate",
    "PublishError",
    "ServeError",
    "ServerAddress",
    "SubcastError",
    "SubcastWarning",
    "SubscriptionManager",
    "WebSocketAdapter",
    "__version__",
    "channel",
]
