"""golf-audit: judges parameter-golf submissions by evidence from four witnesses."""

__version__ = "0.1.0"
