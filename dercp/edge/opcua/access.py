"""Who may come in, and what they may do."""

from dataclasses import dataclass

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.user_managers import UserManager

from dercp.edge.config.settings import OpcUaConfig
from dercp.edge.opcua.passwords import is_password
from dercp.edge.opcua.trust import certificate_in, der

__all__ = ["Doorkeeper", "Visitor"]


@dataclass
class Visitor(User):  # type: ignore[misc]  # asyncua has no types for it
    """Somebody from outside. asyncua lets the role User read, subscribe and try to write."""

    role: UserRole = UserRole.User
    name: str = ""
    writes: bool = False


class Doorkeeper(UserManager):  # type: ignore[misc]  # as above
    """Finds out who somebody is, for asyncua.

    Whoever gives no name is known by his own certificate, or that of his application.
    """

    def __init__(self, config: OpcUaConfig) -> None:
        self._users = {user.name: user for user in config.users if user.password_hash}
        self._certificates = {
            der(certificate_in(user.cert_file)): Visitor(name=user.name, writes=user.writes)
            for user in config.users
            if user.cert_file is not None
        }
        self._nobody = None
        if config.anonymous_reads or config.no_auth:
            self._nobody = Visitor(name="anonymous", writes=config.no_auth)

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> Visitor | None:
        """Who it is; None for somebody who may not come in."""
        if username is not None:
            user = self._users.get(username)
            if user is None or user.password_hash is None or password is None:
                return None
            if not is_password(password, user.password_hash):
                return None
            return Visitor(name=user.name, writes=user.writes)
        if certificate is not None and certificate in self._certificates:
            return self._certificates[certificate]
        return self._nobody

    @property
    def tokens(self) -> list[type]:
        """How somebody may say who he is."""
        tokens: list[type] = []
        if self._users:
            tokens.append(ua.UserNameIdentityToken)
        if self._certificates:
            tokens.append(ua.X509IdentityToken)
        if self._nobody is not None:
            tokens.append(ua.AnonymousIdentityToken)
        return tokens
