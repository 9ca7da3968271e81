"""What can go wrong between actors, each a sentence for whoever must act."""

import trio


class ActorError(Exception):
    """The runtime could not do what it was asked; the base of all below but `Refusal`."""


class MailboxFull(ActorError):
    """The mailbox has no room and its policy gives the message back to the sender."""


class ActorStopped(ActorError):
    """The actor is gone for good: the message was not and will not be handled."""


class ActorCrashed(ActorError):
    """The incarnation ended over this message: by the error in `__cause__`, or cancelled."""


class MessageDropped(ActorError):
    """A newer message took this one's place in the mailbox before it was handled."""


class AskExpired(ActorError, trio.TooSlowError):
    """No answer came in time; whether the message was handled is not known."""


class NameTaken(ActorError):
    """Two living actors cannot have one path."""


class RestartsExceeded(ActorError):
    """A supervisor gave up; `__cause__` is the crash which was one too many."""


class Refusal(Exception):
    """An actor's honest no: raised in `handle` it answers the asker and crashes nobody.

    Subclass it for the reasons a domain knows. It is no `ActorError`, because the runtime
    did its work; a crash is for what the actor did not expect.
    """
