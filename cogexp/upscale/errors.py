"""What goes wrong when enlarging."""


class UpscaleError(Exception):
    """An upscaler that cannot be loaded or run. One or two lines for the user: what, why, what helps."""
