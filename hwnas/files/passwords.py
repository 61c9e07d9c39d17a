"""Passwords in addresses: never printed, never written."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
# The last @ ends the password, which may have any of the characters that an address should escape.
_USER_INFO = re.compile(r"(?<![\w+.-])((?!sqlite)[a-z][\w+.-]*:/+[^\s:@/?#'\"]*:)([^\s]+)@", re.I)
_QUERY = re.compile(
    r"([?&;](?:[\w.-]*(?:pass|pwd|secret|token|credential|apikey|api_key)[\w.-]*)=)([^\s&;#'\"]+)",
    re.I,
)


def without_passwords(text: str) -> str:
    """Give a text with the passwords of the addresses in it starred out.

    Example:
        >>> without_passwords("postgresql://me:secret@host/name?sslpassword=other")
        'postgresql://me:***@host/name?sslpassword=***'
    """
    return _QUERY.sub(rf"\1{HIDDEN}", _USER_INFO.sub(rf"\1{HIDDEN}@", text))


def without_those_of(address: str, text: str) -> str:
    """Star out the passwords of an address wherever they stand in a text about it.

    Drivers and parsers quote parts of an address, escaped or not.
    """
    text = without_passwords(text)
    found = [*_USER_INFO.finditer(address), *_QUERY.finditer(address)]
    for secret in (match[2] for match in found):
        for form in {secret, unquote(secret)}:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", HIDDEN, text)
    return text
