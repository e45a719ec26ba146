"""Where events come from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventBusConfig:
    """The event bus of a manager; make one with a class method."""

    kind: str

    @classmethod
    def memory(cls) -> "EventBusConfig":
        """Events stay in this process: what one worker publishes, the subscribers of others do not get."""
        return cls("memory")
