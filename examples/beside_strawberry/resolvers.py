"""The chat's one resolver: compiled to WebAssembly, and run in the sandbox for each message that is published."""

from subcast_guest import subscription


@subscription("messageSent", channel="rooms", match={"room": "room"})
def message_sent(event: dict, variables: dict) -> dict:
    return {"room": variables["room"], "author": event["author"], "text": event["text"]}
