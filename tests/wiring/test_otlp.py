"""The environment variables that say where spans go."""

import pytest

from bateau.domain.errors import ControlError
from bateau.observe.otlp import Collector
from bateau.wiring.otlp import collector_of

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def of(environ: dict[str, str]) -> Collector | None:
    return collector_of("default", environ, environ.get)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "no header"},
        {**HERE, "OTEL_SDK_DISABLED": "true"},
        {**HERE, "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_without_an_address_nothing_is_sent(environ: dict[str, str]) -> None:
    assert of(environ) is None


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (HERE, "http://127.0.0.1:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.org/x/"}, "https://otlp.example.org/x/v1/traces"),
        ({**HERE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1]:9/spans"}, "http://[::1]:9/spans"),
        ({**HERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
         "http://127.0.0.1:4318/v1/traces"),
    ],
)  # fmt: skip
def test_the_address_of_traces_is_used_as_it_is_and_the_other_one_is_a_base(environ: dict[str, str], url: str) -> None:
    found = of(environ)
    assert found is not None
    assert (found.url, found.shown) == (url, url)


def test_headers_are_decoded_and_those_of_traces_win() -> None:
    more = {
        "OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=a%20b, tenant=one,",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "tenant=two=2",
    }
    found = of({**HERE, **more})
    assert found is not None
    assert found.headers == {"api-key": "a b", "tenant": "two=2"}


def test_credentials_of_the_address_become_a_header_and_are_not_shown() -> None:
    found = of({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://user:SECRET@example.org/v1/traces?key=SECRET"})
    assert found is not None
    assert found.url == "https://example.org/v1/traces?key=SECRET"
    assert found.headers["Authorization"].startswith("Basic ")
    assert "SECRET" not in repr(found)
    assert found.shown == "https://example.org/v1/traces"


def test_the_resource_is_this_instance_unless_the_environment_says_otherwise() -> None:
    found = of(HERE)
    assert found is not None
    assert found.resource["service.name"] == "bateau"
    assert found.resource["service.instance.id"].endswith("/default")
    more = {
        "OTEL_SERVICE_NAME": "gateway",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=a%2Cb,service.name=x",
    }
    found = of({**HERE, **more})
    assert found is not None
    assert (found.resource["service.name"], found.resource["deployment.environment.name"]) == ("gateway", "a,b")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not an address"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:SECRET@:99999"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not an address"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not an address"),
        ({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc"),
        ({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "a=1,SECRET"}, "entry 2 of OTEL_EXPORTER_OTLP_HEADERS"),
        ({**HERE, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a b=SECRET"}, "entry 1 of OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        ({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "a=SECRET%0d%0ab"}, "entry 1 of OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_a_variable_that_cannot_be_used_is_an_error_without_its_secret(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ControlError) as error:
        of(environ)
    assert says in error.value.message
    assert error.value.hint
    assert "SECRET" not in error.value.message + error.value.hint
