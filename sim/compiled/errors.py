"""What goes wrong with the compiled engine itself, not with a scenario."""


class CompiledEngineError(Exception):
    """The compiled engine cannot run here; the message says what to do."""
