"""What goes wrong when enlarging."""


class UpscaleError(Exception):
    """An upscaler that cannot be loaded or run. One or two lines for the user: what, why, what helps."""


class UpscaleMemoryError(UpscaleError, MemoryError):
    """Memory suffices for no tile."""


class InvalidPixels(UpscaleError):
    """The network's output is no picture: NaN, infinities, or a black clip out of one that is not."""
