"""The behaviour witness: the submission's own script, run whole at toy scale in a sandbox, twice, and compared."""
