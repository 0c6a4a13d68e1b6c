"""The reproducer: the submission's own run under this tool's clock, and whether its claim holds."""
