"""Which services are around which: what a unit depends on beside its own document.

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
    """What others need to know of a service: where it is called, and what it uses.

    `withheld`: it holds what `env()` has read, so that nothing of it is kept on disk.
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
    """The members of one environment, indexed once: to look through all for each would make the whole quadratic."""

    def __init__(self, members: Iterable[Member], environment: str | None) -> None:
        every = sorted(members, key=lambda member: member.key)
        self._members: dict[str, Member] = {member.key: member for member in every}
        self._users = users_of((member.key, member.uses) for member in every)
        self._doubled = doubled_names((member.namespace, member.key) for member in every if not member.brings_documents)
        self._environment = environment

    def of(self, key: str, inventory: Inventory | None = None) -> Surroundings:
        """Return what is around a member, on a site with this inventory."""
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
        """Return all that a member can see of the others, as plain values: what a digest of it is made of."""
        if not self._members[key].uses and key not in self._users and not self.doubles(key):
            return ()  # most know of nobody, and nobody of them
        around = self.of(key)
        return (tuple(around.addresses.items()), tuple(around.users.items()), self.doubles(key))

    def withheld_from(self, key: str) -> bool:
        """Whether something that a member uses is withheld from the disk, and with it what the member sees of it."""
        return any(used in self._members and self._members[used].withheld for used in self._members[key].uses)

    def doubles(self, key: str) -> bool:
        """Whether a member of another kind has the same name in the same namespace."""
        member = self._members[key]
        return (member.namespace, member.key.name) in self._doubled
