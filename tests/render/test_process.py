"""Services become templates of processes."""

from pathlib import PurePath

from bateau.domain.inventory import Inventory
from bateau.domain.process import ProcessTemplate
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
