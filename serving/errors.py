"""What can go wrong between a request and its answer."""


class ServingError(Exception):
    """A server that cannot start or go on. The message is for the person who started it."""


class RequestError(Exception):
    """A request that cannot be answered.

    Attributes:
      code: name of the gRPC status, such as INVALID_ARGUMENT.
      message: for whoever sent the request; TensorFlow Serving's own words where it has some.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestError:
    """The request itself is at fault: INVALID_ARGUMENT, over REST a 400."""
    return RequestError("INVALID_ARGUMENT", message)
