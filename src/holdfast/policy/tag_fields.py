"""Tags in a field of a response, such as Cache-Tag.

The field is a list with commas, of visible ASCII. A tag has whatever text a call's arguments have, so every other sign
is written as the percent-encoded bytes of its UTF-8: no argument can end the tag or the line, and `read_tag` gives back
the text that `invalidate_tags` is called with.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '%,"\\')
"""Without quotes and backslashes: where they stand in a list, a comma may separate nothing."""


def write_tag(tag: str) -> str:
    """Return a tag as it may stand in a field.

    Example:
        >>> write_tag("category:pots, pans")
        'category:pots%2C%20pans'
    """
    return quote(tag, safe=_SAFE, errors="surrogatepass")


def read_tag(member: str) -> str:
    """Return the tag that a member of the field stands for: the inverse of `write_tag`.

    What an app wrote otherwise, without percent signs or with such as encode no text, stands for itself.

    Example:
        >>> read_tag("category:pots%2C%20pans")
        'category:pots, pans'
    """
    try:
        return unquote(member, errors="surrogatepass") if "%" in member else member
    except UnicodeDecodeError:
        return member
