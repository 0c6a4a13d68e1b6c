"""Submission folders of the reference: its modules as one script, with README and submission.json."""
