"""Names of channels."""

from subcast import _native


def channel(template: str, /, **arguments: str | int | float | bool) -> str:
    """The channel that a template names: `channel("orders:{id}", id="a:b")` is `"orders:a%3Ab"`.

    For publishing to the fields with `channel="orders:{id}"`. Values are escaped by the very code that does it for
    subscribers, so that different values never name the same channel.

    Raises `TypeError` for arguments that are missing or that the template does not have, `ValueError` for those that
    are `None` or empty, a list or a dictionary, and for names of more than 255 bytes.
    """
    return _native.channel(template, arguments)
