"""A chat on FastAPI: messages come in by POST, and go out by subscription.

uvicorn app:app
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel

from subcast import EventBusConfig, SubscriptionManager
from subcast.integrations.fastapi import SubscriptionRouterFactory

HERE = Path(__file__).parent

manager = SubscriptionManager(EventBusConfig.memory(), module=HERE / "resolvers.py")
app = FastAPI()
app.include_router(SubscriptionRouterFactory.create(manager))


class Message(BaseModel):
    room: str
    author: str
    text: str


@app.post("/messages", status_code=202)
async def send(message: Message) -> None:
    await manager.publish_event("messageSent", "rooms", message.model_dump())


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")
