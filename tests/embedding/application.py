"""An application for servers that start one by its name: `uvicorn application:app`.

`POST /publish` publishes an event that names this process, and answers with its number. With `$START_EARLY` the manager
is started when the module is imported, as nobody should who forks afterwards.
"""

import asyncio
import os

from fastapi import FastAPI
from support import manager

from subcast.integrations.fastapi import SubscriptionRouterFactory

VERSION = 1

subscriptions = manager()
app = FastAPI()
app.include_router(SubscriptionRouterFactory.create(subscriptions))

if "START_EARLY" in os.environ:
    asyncio.new_event_loop().run_until_complete(subscriptions.start())


@app.post("/publish")
async def publish() -> int:
    await subscriptions.publish_event("counted", "counts", {"seq": os.getpid()})
    return os.getpid()


@app.get("/version")
async def version() -> int:
    return VERSION
