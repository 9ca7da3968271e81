"""What the model refuses, said so that a program and a person can both act on it."""


class ModelError(ValueError):
    """A value that the model does not accept.

    Attributes:
        reason: A stable snake_case word for programs.
        detail: A sentence for the reader who must act.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
