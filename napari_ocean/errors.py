"""One tree of errors: everything a user can cause and mend derives from :class:`OceanError`.

The command line and the plugin show the message of an ``OceanError`` as it is, so each message
is one sentence (what happened) and, where there is one, a second (what to do).
"""


class OceanError(Exception):
    """Base of all errors that the user can understand and mend."""


class BoxError(OceanError, ValueError):
    """A box that cannot be tracked: NaN, inverted, too small or outside the frame."""


class VideoError(OceanError):
    """A video, image stack or folder that cannot be opened or read."""


class TracksError(OceanError, ValueError):
    """An annotation that cannot be used: no object, no box in the range, unknown object."""


class FormatError(OceanError):
    """An annotation file that cannot be read or written."""


class WeightsError(OceanError):
    """Network weights that are missing, of the wrong kind or incomplete."""


class DataError(OceanError):
    """Training or evaluation data that is missing or malformed."""


class ConfigError(OceanError, ValueError):
    """A setting that does not exist or is out of range."""
