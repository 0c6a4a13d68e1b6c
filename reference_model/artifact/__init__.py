"""The artifact: quantised weights as bytes, its size by part, and the artifacts of other scripts."""

from __future__ import annotations

from reference_model.artifact.container import ArtifactError, pack, unpack

__all__ = ["ArtifactError", "pack", "unpack"]
