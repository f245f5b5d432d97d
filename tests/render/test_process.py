"""Services become templates of processes."""

from collections.abc import Mapping
from pathlib import PurePath

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.domain.inventory import Inventory
from bateau.domain.process import ProcessTemplate
from bateau.domain.unit import Whereabouts
from bateau.domain.workload import Workload
from bateau.ports.target import Surroundings
from bateau.render import render_service
from render.building import app, release_of

SHOP = app("shop", "command: [serve, --port, '{port:http}'], ports: {http: {port: 8123}}, env: {A: '1', B: '2'}")


def template(document: str) -> ProcessTemplate:
    (workload,) = release_of(document).services
    around = Surroundings(
        environment=None, namespace="default", addresses={}, inventory=Inventory(directory=PurePath("/srv"))
    )
    body = render_service(workload, around, target="process").body
    assert isinstance(body, ProcessTemplate)
    return body


def test_the_same_workload_gives_the_same_revision() -> None:
    again = SHOP.replace("{A: '1', B: '2'}", "{B: '2', A: '1'}")
    assert template(SHOP) == template(again)
    assert template(SHOP).revision == template(again).revision


def test_another_workload_gives_another_revision() -> None:
    assert template(SHOP.replace("'2'", "'3'")).revision != template(SHOP).revision
    assert template(SHOP.replace("--port", "--listen")).revision != template(SHOP).revision


def test_each_port_has_a_variable_for_the_app_and_for_those_who_use_it() -> None:
    """A22."""
    shop = app("shop", "command: [serve], ports: {http: {protocol: http}, admin-api: {protocol: grpc}}")
    user = app("user", "command: [call], uses: [app/shop, app/one]")
    one = app("one", "command: [serve], ports: {http: {protocol: http}}")
    release = release_of(shop, user, one)
    by_key: dict[str, Workload] = {service.key: service for service in release.services}
    ports = (("app/one/http", 3), ("app/shop/admin-api", 2), ("app/shop/http", 1))
    members = [member_of(service, Whereabouts(ports=ports), "process") for service in release.services]
    around = Neighbourhood(members, None)

    def environment(key: str) -> Mapping[str, str]:
        body = render_service(by_key[key], around.of(key), target="process").body
        assert isinstance(body, ProcessTemplate)
        return body.environment

    assert environment("app/shop") == {
        "PORT": "{port:http}",
        "PORT_HTTP": "{port:http}",
        "PORT_ADMIN_API": "{port:admin-api}",
    }
    assert environment("app/user") == {
        "BATEAU_SHOP_URL": "http://127.0.0.1:1",
        "BATEAU_SHOP_URL_HTTP": "http://127.0.0.1:1",
        "BATEAU_SHOP_URL_ADMIN_API": "127.0.0.1:2",
        "BATEAU_ONE_URL": "http://127.0.0.1:3",
    }
