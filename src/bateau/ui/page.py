"""What a page is: a function from a view of the instance to parts, some of which are live.

Called by ui.

A page neither asks nor waits for anything: everything that it may show is in its view. Another page is a file in
`pages` and a row in the table there.

Invariant: equal views give the same text, so that a part that did not change is not sent again. Held by
tests/ui/test_pages.py::test_equal_views_give_the_same_text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from htpy import Renderable
from markupsafe import Markup

from bateau.domain.alert import AlertBoard
from bateau.domain.figures import Figures
from bateau.domain.release import Release
from bateau.domain.sign_in import Role
from bateau.domain.status import ServiceStatus, Status
from bateau.domain.timeline import Entry
from bateau.domain.workload import Workload
from bateau.kit.latest import Latest
from bateau.ui.change_view import Aspect, ChangeView
from bateau.ui.reports import Need, Reports
from bateau.wiring.figures import routes_of

_KEPT_MAX: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything that a page may show. With `needs_key`, requests to models need an API key.

    `events` are the latest ones of the timeline, the latest last; None: they cannot be read.

    `change` is there for pages that need it. On a cluster, nobody is asked. Pages show logs if it `has_logs`.

    `kept` has what earlier views were made into, by name, so that a thousand rows are not made again for one of them.
    """

    status: Status
    release: Release
    figures: Figures = field(default_factory=Figures)
    role: Role = "view"
    needs_key: bool = False
    events: tuple[Entry, ...] | None = ()
    alerts: AlertBoard = AlertBoard()  # noqa: RUF009 - frozen
    reports: Reports = Reports()  # noqa: RUF009 - frozen
    change: ChangeView | None = None
    on_cluster: bool = False
    has_logs: bool = True
    kept: dict[str, Latest[Markup]] = field(default_factory=dict[str, Latest[Markup]], compare=False, repr=False)

    def keep(
        self, name: str, make: Callable[[], Renderable], *, same: tuple[object, ...], equal: tuple[object, ...]
    ) -> Markup:
        """Return an element as text: that of an earlier view, if it was made of the same objects and equal values."""
        if len(self.kept) > _KEPT_MAX:
            self.kept.clear()
        latest = self.kept.setdefault(name, Latest())
        return latest.of(lambda: Markup(str(make())), same=same, equal=equal)  # noqa: S704 - made by htpy

    @cached_property
    def services(self) -> Mapping[str, ServiceStatus]:
        """All services by their keys, and the gateway."""
        return {each.service: each for each in (*self.status.services, self.status.gateway)}

    @cached_property
    def workloads(self) -> Mapping[str, Workload]:
        """The workloads of the desired state by their keys."""
        return {each.key: each for each in self.release.services}

    def is_model(self, service: str) -> bool:
        """Whether requests name a service in their body, as they name a model."""
        found = self.workloads.get(service)
        return found is not None and found.is_named_in_bodies

    def has_requests(self, service: str) -> bool:
        """Whether the gateway counts requests of a service: not those of TCP ports."""
        found = self.workloads.get(service)
        return found is not None and bool(routes_of(found))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a page. `make` returns an element with the id `id`. If the part is `live`, it is sent when it changes.

    With `of`, it depends on nothing but these objects, and is not made again while they are the same ones. `rows` is
    the id of the body of its table, each of whose rows has an id: if only rows change, only these are sent. If it is
    `later`, it is below the first screen, and waits until the page is painted.
    """

    id: str
    make: Callable[[], Renderable | Markup]
    live: bool = True
    of: tuple[object, ...] = ()
    rows: str | None = None
    later: bool = False

    @property
    def text(self) -> str:
        """The element as HTML."""
        return str(self.make())


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A page that was made. `log_of` is the service whose log the page follows.

    `scripts` and `styles` are more files to load. `forms` are the ids of its forms, which get the token of the
    session: parts are shared by several sessions.
    """

    title: str
    parts: Sequence[Part]
    log_of: str | None = None
    scripts: Sequence[str] = ()
    forms: Sequence[str] = ()
    styles: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the dashboard. `path` may have parts such as {name}; {name*} may have slashes.

    `name` is that in the navigation, None: not there. `make` gets the parts of the path, and returns None for a page
    that does not exist. `needs` are the reports that are made for it; `aspect` is the part of a session's own that it
    shows. Those `on_clusters` are pages of a controller, too.
    """

    path: str
    name: str | None
    make: Callable[[View, Mapping[str, str]], Screen | None]
    needs: tuple[Need, ...] = ()
    aspect: Aspect = ""
    on_clusters: bool = False

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        one = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        return re.compile(re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", one))

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the parts of a path, None if it is the path of another page."""
        found = self._pattern.fullmatch(path)
        return found.groupdict() if found else None
