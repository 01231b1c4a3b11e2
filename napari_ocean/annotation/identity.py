"""What a video is known by, wherever it lies: its size, its length and a digest of its content."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean.errors import FormatError

_SAMPLE_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What identifies a video, wherever it lies and whatever it is called.

    Attributes
    ----------
    digest : str
        From :func:`digest_file` or :func:`digest_pixels`.
    n_frames, height, width : int
    """

    digest: str
    n_frames: int
    height: int
    width: int

    def difference(self, other: Clip) -> str | None:
        """Say how another clip differs, or None if it is this one."""
        if self == other:
            return None
        mine, theirs = (f"{of.n_frames} frames of {of.width} x {of.height}" for of in (self, other))
        if mine == theirs:
            return "it was made for a video of the same size with other content"
        return f"it was made for a video of {theirs}, this one has {mine}"


def digest_file(path: str | os.PathLike[str]) -> str:
    """Digest of a file, or of a folder of images, that does not depend on where it lies.

    Of a file it covers the length and a MiB each of its beginning, middle and end; of a folder the
    names and lengths of its images, which are the files of its commonest suffix, and the first.
    Systems differ in the order of names and in how accents are written, and macOS puts hidden files
    beside images: none of that counts.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    try:
        path.stat()
        if path.is_dir():
            seen = [one for one in path.iterdir() if one.is_file() and one.name[0] != "."]
            files = sorted((unicodedata.normalize("NFC", one.name), one) for one in seen)
            suffixes = Counter(one.suffix for _, one in files).most_common(1)
            images = [(name, one) for name, one in files if one.suffix in dict(suffixes)]
            listing = [(name, one.stat().st_size) for name, one in images]
            digest.update(repr(listing).encode("utf-8", "surrogatepass"))
            path = images[0][1] if images else path
        if path.is_file():
            size = path.stat().st_size
            digest.update(str(size).encode())
            with path.open("rb") as file:
                for start in (0, (size - _SAMPLE_BYTES) // 2, size - _SAMPLE_BYTES):
                    file.seek(max(start, 0))
                    digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def digest_pixels(first_frame: ArrayLike) -> str:
    """Digest of a video that is no file, from its first frame as stored."""
    pixels = np.ascontiguousarray(first_frame)
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()
