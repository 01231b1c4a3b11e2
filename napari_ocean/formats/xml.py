"""XML for the formats that are made of it: built and read with the standard library.

A file with a document type is refused, so no entity is ever expanded and nothing is fetched.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from napari_ocean.errors import FormatError

# What XML 1.0 has no way to write (https://www.w3.org/TR/xml/#charsets). Lone surrogates are left
# to the encoder, whose error is told for all formats alike.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(text: str) -> ElementTree.Element:
    """Root of a document without a document type."""
    if "<!DOCTYPE" in text:
        raise FormatError("has a document type (DOCTYPE), which no annotation needs; remove it.")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise FormatError(f"line {error.position[0]}: not XML ({error.msg}).") from error
    except ValueError as error:
        raise FormatError(f"not XML ({error}).") from error


def add(
    parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: str
) -> ElementTree.Element:
    """Add an element and return it."""
    child = ElementTree.SubElement(parent, tag, attributes)
    child.text = None if text is None else checked(text)
    return child


def checked(text: str) -> str:
    """Text itself, if XML can hold it."""
    if _FORBIDDEN.search(text):
        raise FormatError(f"XML cannot hold the name {text!r}; change it.")
    return text


def to_text(root: ElementTree.Element) -> str:
    """Write a document, an element to a line."""
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'
