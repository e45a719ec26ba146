"""Resolvers that pass on what an event says, wherever a resolver can say something."""

import logging
import sys

from subcast_guest import GraphQLError, subscription


@subscription("speaks", channel="speaks", events=["said"])
def speaks(event: dict, variables: dict) -> dict:
    text = event["text"]
    print(text)
    print(text, file=sys.stderr)
    logging.getLogger("speaks").warning("%s", text)
    raise ValueError(text)


@subscription("shows", channel="speaks", events=["shown"])
def shows(event: dict, variables: dict) -> dict:
    raise GraphQLError(event["text"], code=event["text"])
