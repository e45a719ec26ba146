"""Queries and mutations by Strawberry, subscriptions by Subcast, in one FastAPI application.

uvicorn app:app
"""

from pathlib import Path

import strawberry
from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel
from strawberry.fastapi import GraphQLRouter

from subcast import EventBusConfig, SubscriptionManager
from subcast.integrations.fastapi import SubscriptionRouterFactory

HERE = Path(__file__).parent

manager = SubscriptionManager(EventBusConfig.memory(), module=HERE / "resolvers.py")
said: list["Message"] = []


@strawberry.type
class Message:
    room: strawberry.ID
    author: str
    text: str


async def keep(message: Message) -> Message:
    said.append(message)
    event = {"room": message.room, "author": message.author, "text": message.text}
    await manager.publish_event("messageSent", "rooms", event)
    return message


@strawberry.type
class Query:
    @strawberry.field
    def messages(self, room: strawberry.ID) -> list[Message]:
        return [message for message in said if message.room == room]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def send_message(self, room: strawberry.ID, author: str, text: str) -> Message:
        return await keep(Message(room=room, author=author, text=text))


app = FastAPI()
app.include_router(GraphQLRouter(strawberry.Schema(query=Query, mutation=Mutation)), prefix="/graphql")
app.include_router(SubscriptionRouterFactory.create(manager))


class Post(BaseModel):
    room: str
    author: str
    text: str


@app.post("/messages", status_code=202)
async def send(post: Post) -> None:
    """For the page; clients of the API use the mutation."""
    await keep(Message(room=strawberry.ID(post.room), author=post.author, text=post.text))


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")
