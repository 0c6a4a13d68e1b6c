"""What ``load_submission`` raises; every message names the path and the reason in one sentence."""

from __future__ import annotations


class IntakeError(Exception):
    """No submission can be loaded from the path that was given."""


class NoSuchFolder(IntakeError):
    """The path does not exist, is not a folder, or cannot be opened."""


class NoSubmission(IntakeError):
    """The folder exists and holds nothing that looks like a submission."""


class NoSuchBase(IntakeError):
    """The checkout cannot be compared with the ref that was asked for."""


class SeveralSubmissions(IntakeError):
    """Several submissions were found and no name selects one; ``names`` are the names to choose from."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names
