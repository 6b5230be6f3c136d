"""The errors that facelab raises on purpose.

Each carries one sentence for the person: what is wrong and what to do. Whatever is raised
that is not one of these is a bug of ours and is shown as one, with its traceback in the log.

    FacelabError
    ├── BadArgument (ValueError)      a value given to facelab does not fit: shape, range, unknown name
    ├── CheckpointError               a generator file cannot be opened
    │   ├── UnsafeFile                it asks for code to be run, or declares absurd sizes
    │   └── UnknownFormat             it is not a generator that facelab knows
    ├── LatentError                   a file of latents or directions cannot be read
    │   └── AmbiguousLatent           it can be read in more than one way: the caller has to say which
    ├── PictureError                  a picture cannot be read
    │   └── NoFaceFound               it can, but no face was found in it
    ├── ProjectError                  a project file cannot be opened or written
    ├── ExportError                   a result cannot be written (disk full, folder missing, no codec)
    ├── DownloadError                 a catalogue file cannot be fetched whole
    ├── WrongGenerator                a code, recipe or run belongs to another generator
    ├── MissingPart                   an optional part (landmark model, loss network) is not installed
    ├── Diverged                      an optimisation gave numbers that are not finite
    └── OutOfMemory                   even one picture at a time does not fit in memory
"""

from __future__ import annotations


class FacelabError(Exception):
    """Something in the world is not as it must be; ``str(error)`` is one sentence for the person."""


class BadArgument(FacelabError, ValueError):
    """A value given to facelab does not fit."""


class CheckpointError(FacelabError):
    """A generator file cannot be opened."""


class UnsafeFile(CheckpointError):
    """A file asks for code to be run, or declares sizes that cannot be meant."""


class UnknownFormat(CheckpointError):
    """A file is not a generator of a kind that facelab knows."""


class LatentError(FacelabError):
    """A file of latents or directions cannot be read."""


class AmbiguousLatent(LatentError):
    """A latent file can be read in more than one way.

    Attributes:
        choices: the readings, each a word that the reader's argument named by ``asks`` takes.
        asks: ``"space"``, or ``"array"`` for a file of several arrays.
    """

    def __init__(self, message: str, choices: tuple[str, ...], asks: str = "space") -> None:
        super().__init__(message)
        self.choices, self.asks = choices, asks


class PictureError(FacelabError):
    """A picture cannot be read."""


class NoFaceFound(PictureError):
    """A picture was read, and no face was found in it."""


class ProjectError(FacelabError):
    """A project file cannot be opened or written."""


class ExportError(FacelabError):
    """A result cannot be written."""


class DownloadError(FacelabError):
    """A file of the catalogue cannot be fetched whole."""


class WrongGenerator(FacelabError):
    """A code, recipe or run belongs to another generator than the one that is open."""


class MissingPart(FacelabError):
    """An optional part of facelab is not installed."""


class Diverged(FacelabError):
    """An optimisation gave numbers that are not finite."""


class OutOfMemory(FacelabError):
    """Even one picture at a time does not fit in memory."""
