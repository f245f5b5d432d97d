"""Find the neighbours of each service: the services whose addresses or names a unit depends on.

Called by control.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bateau.domain.inventory import Inventory
from bateau.domain.unit import Address, Whereabouts
from bateau.domain.workload import ServiceKey, Workload
from bateau.render import TARGETS, Surroundings, doubled_names, used_by, users_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """The part of a service that its neighbours need: its address, and the services that it uses.

    `withheld`: it contains values that `env()` has read, so nothing of it is stored on disk.
    """

    key: ServiceKey
    namespace: str
    address: Address | None
    uses: tuple[ServiceKey, ...]
    brings_documents: bool = False
    withheld: bool = False


def member_of(service: Workload, where: Whereabouts, target: str = "kubernetes") -> Member:
    """Return a service as its neighbours see it."""
    where = replace(where, namespace=service.namespace or where.namespace)
    return Member(
        key=service.key,
        namespace=where.namespace,
        address=TARGETS[target].address(service, where),
        uses=used_by(service),
        brings_documents=service.brings_documents,
        withheld=bool(service.withheld),
    )


class Neighbourhood:
    """The members of one environment, indexed once: a search per member would take quadratic time."""

    def __init__(self, members: Iterable[Member], environment: str | None) -> None:
        every = sorted(members, key=lambda member: member.key)
        self._members: dict[str, Member] = {member.key: member for member in every}
        self._users = users_of((member.key, member.uses) for member in every)
        self._doubled = doubled_names((member.namespace, member.key) for member in every if not member.brings_documents)
        self._environment = environment

    def of(self, key: str, inventory: Inventory | None = None) -> Surroundings:
        """Return the surroundings of a member, on a site with this inventory."""
        return Surroundings(
            environment=self._environment,
            namespace=self._members[key].namespace,
            addresses={
                used: self._members[used].address if used in self._members else None for used in self._members[key].uses
            },
            users={user: self._members[user].namespace for user in self._users.get(key, ())},
            inventory=inventory or Inventory(),
        )

    def seen_by(self, key: str) -> tuple[object, ...]:
        """Return everything that a member sees of the others, as plain values for a digest."""
        if not self._members[key].uses and key not in self._users and not self.doubles(key):
            return ()  # most members use no other, and are used by none
        around = self.of(key)
        return (tuple(around.addresses.items()), tuple(around.users.items()), self.doubles(key))

    def withheld_from(self, key: str) -> bool:
        """Whether a member uses a withheld service, so that its view of that service must not be stored either."""
        return any(used in self._members and self._members[used].withheld for used in self._members[key].uses)

    def doubles(self, key: str) -> bool:
        """Whether a member of another kind has the same name in the same namespace."""
        member = self._members[key]
        return (member.namespace, member.key.name) in self._doubled
