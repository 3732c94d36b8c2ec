"""The errors in a user's files. Each message names the file and the key."""


class FileError(ValueError):
    """A file that cannot be read, or not within the limits."""


class ConfigError(ValueError):
    """A UNet configuration that cannot be built as written."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, incomplete or not supported."""


class DataError(ValueError):
    """Training data that cannot be used."""


class RecipeError(ValueError):
    """A training recipe with an unknown, missing or invalid value."""


class OutputError(OSError):
    """A file or folder that cannot be written."""
