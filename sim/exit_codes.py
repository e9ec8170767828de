"""Exit codes of `hoso`, named once."""

MET = 0
"""All targets are met."""
MISSED = 1
"""A target is missed, or the data cannot tell."""
USAGE_WRONG = 2
"""The scenario or the command is wrong."""
RUN_FAILED = 3
"""The run failed or was interrupted."""
UNTRUSTWORTHY = 4
"""The measurement cannot be trusted."""
