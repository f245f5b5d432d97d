"""Services become Kubernetes objects that the schemas take, each leaf with its origin."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.release import Release
from bateau.kit.json_value import ReadObject, array_at, object_at, text_at
from bateau.kit.position import leaves
from bateau.kit.yaml_writer import write
from bateau.render import validate
from bateau.render.kubernetes.images import OWN_IMAGE
from bateau.wiring.schemas import VERSIONS, load_schemas
from render.building import app, model, release_of, render

SCHEMAS = load_schemas()
GOLDEN = Path(__file__).parent.parent / "golden/kubernetes"
CHAT = "source: hf://org/repo/chat.gguf"
SHOP = (
    "image: 'acme/shop:1.4.2', replicas: 3, uses: [model/chat], resources: {cpu: 500m, memory: 512Mi}, "
    "ports: {http: {port: 80}, events: {protocol: grpc}}, env: {LOG: 'y', DB_PASSWORD: hunter2, AT: '{port:events}'}, "
    "health: {path: /healthz, interval: 1500ms}"
)
SERVICES = {
    "app": (app("shop", SHOP), model("chat", CHAT)),
    "worker": (app("worker", "image: 'acme/worker:1'"),),
    "llamacpp": (model("chat", f"{CHAT}, contextLength: 2048, threads: 2, replicas: 2"),),
    "vllm": (
        model(
            "big",
            "source: 'hf://org/big', accelerator: {count: 2}, scale: {min: 2, max: 5}, "
            "resources: {cpu: '8', memory: 64Gi}",
        ),
    ),
}


@pytest.mark.parametrize("name", SERVICES)
def test_manifests_are_the_golden_ones(name: str, request: pytest.FixtureRequest) -> None:
    rendering = render(release_of(*SERVICES[name]), namespace="prod")
    first = rendering.manifests[0].service
    text = write(each.tree for each in rendering.manifests if each.service == first)
    file = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--accept"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SERVICES)
def test_every_manifest_passes_the_strict_schemas(name: str, version: str) -> None:
    assert validate(render(release_of(*SERVICES[name])).manifests, load_schemas(version)) == ()


def test_a_restart_is_the_annotation_of_kubectl_and_nothing_else() -> None:
    """A17: as `kubectl rollout restart`."""
    release = release_of(*SERVICES["llamacpp"])
    restarted = replace(
        release, services=tuple(replace(s, restarted_at="2026-11-28T18:00:00Z") for s in release.services)
    )
    before, after = (render(each) for each in (release, restarted))
    assert validate(after.manifests, SCHEMAS) == ()
    changed = {
        path: value
        for old, new in zip(before.manifests, after.manifests, strict=True)
        for path, value in leaves(new.tree)
        if (path, value) not in list(leaves(old.tree))
    }
    path = "spec.template.metadata.annotations['kubectl.kubernetes.io/restartedAt']"
    assert changed == {path: "2026-11-28T18:00:00Z"}


def test_what_looks_secret_is_only_referred_to() -> None:
    rendering = render(release_of(*SERVICES["app"]))
    assert "hunter2" not in write(each.tree for each in rendering.manifests)
    assert [f.says for f in rendering.findings] == [
        "not rendered: spec.env.DB_PASSWORD looks like a secret; put `DB_PASSWORD` into Secret shop of the cluster"
    ]
    chains = [chain for each in rendering.manifests for chain in each.origins.values()]
    assert "hunter2" not in repr(chains)


def test_only_users_may_call() -> None:
    rendering = render(release_of(*SERVICES["app"]))
    policies: dict[str | None, Any] = {
        each.service: each.tree["spec"] for each in rendering.manifests if each.tree["kind"] == "NetworkPolicy"
    }
    assert "ingress" not in policies["app/shop"]
    (rule,) = policies["model/chat"]["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "shop"


def test_costs_are_left_out_and_that_is_said() -> None:
    costs = "costs: {money: {currency: EUR, input: 1, output: 2}}"
    rendering = render(release_of(model("a", f"{CHAT}, {costs}")))
    assert "not rendered: spec.costs; it works on one machine only" in str(rendering)
    assert [each.tree for each in rendering.manifests] == [
        each.tree for each in render(release_of(model("a", CHAT))).manifests
    ]


def test_fields_that_the_gateway_acts_on_are_named() -> None:
    limits = "limits: {requestsPerMinute: 1, tokensPerMinute: 2, perKey: {tokensPerMinute: 3}}"
    rendering = render(release_of(model("a", f"{CHAT}, {limits}, timeout: 1s, fallback: b"), model("b", CHAT)))
    assert [each.says for each in rendering.findings if "spec." in each.says] == [
        "not rendered: spec.limits.requestsPerMinute; the gateway of a controller acts on it",
        "not rendered: spec.fallback; the gateway of a controller acts on it",
        "not rendered: spec.timeout; the gateway of a controller acts on it",
        "not rendered: spec.limits.tokensPerMinute; it works on one machine only",
        "not rendered: spec.limits.perKey.tokensPerMinute; it works on one machine only",
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (app("a", "command: [a]"), "not rendered: the app runs spec.command, and this target needs spec.image"),
        (app("a", "wasm: a.wasm"), "not rendered: the app runs spec.wasm, and this target needs spec.image"),
        (
            model("a", "source: ./a.gguf"),
            (
                'not rendered: a pod cannot read the file "./a.gguf"; '
                "write the name of a model, or a source that can be fetched"
            ),
        ),
        (
            model("a", "source: 'http://x/v1', engine: external"),
            "not rendered: the model runs elsewhere; apps that use it get its URL",
        ),
        (
            model("a", f"{CHAT}, accelerator: {{vendor: amd}}"),
            "not rendered: there is no image for engine llama.cpp on amd",
        ),
    ],
)
def test_what_cannot_be_rendered_is_said(document: str, says: str) -> None:
    rendering = render(release_of(document))
    assert rendering.manifests == ()
    assert [finding.says for finding in rendering.findings] == [says]


def _pod(fields: str) -> ReadObject:
    rendering = render(release_of(model("a", fields)))
    (found,) = [each.tree for each in rendering.manifests if each.tree["kind"] == "Deployment"]
    return object_at(found, "spec", "template", "spec")


def test_a_model_of_the_catalogue_is_fetched_before_the_server_starts() -> None:
    pod = _pod("source: smollm2, contextLength: 2048, resources: {cpu: 1500m, memory: 1Gi}")
    (fetch,) = array_at(pod, "initContainers")
    (server,) = array_at(pod, "containers")
    assert array_at(fetch, "command")[:4] == ["bateau", "models", "pull", "smollm2"]
    assert array_at(fetch, "command")[-1] == "/models/model.gguf"
    assert text_at(fetch, "image") == text_at(server, "image") == OWN_IMAGE
    words = array_at(server, "args")
    assert words[words.index("--model") + 1] == "/models/model.gguf"
    assert words[words.index("--threads") + 1] == "2"
    assert words[words.index("--context") + 1] == "2048"


def test_a_model_that_is_an_image_is_mounted_and_not_fetched() -> None:
    pod = _pod("source: 'oci://registry.example/models/a:1'")
    assert array_at(pod, "initContainers") == []
    volume = next(each for each in array_at(pod, "volumes") if text_at(each, "name") == "models")
    assert text_at(volume, "image", "reference") == "registry.example/models/a:1"
    (server,) = array_at(pod, "containers")
    words = array_at(server, "args")
    assert words[words.index("--model") + 1] == "/models"


def test_an_app_and_a_model_of_one_name_are_refused() -> None:
    rendering = render(release_of(app("a", "image: a"), model("a", CHAT)))
    assert rendering.manifests == ()
    assert [finding.verdict for finding in rendering.findings] == ["error", "error"]


def test_the_chain_leads_to_the_file() -> None:
    deployment = next(e for e in render(release_of(*SERVICES["app"])).manifests if e.tree["kind"] == "Deployment")
    (step,) = deployment.origins["spec.replicas"]
    assert (step.how, step.value, str(step.at)) == ("written", 3, "a.yaml:4:44")


_SPECS = st.tuples(
    st.integers(0, 3), st.booleans(),
    st.sampled_from(["", ", ports: {http: {}}", ", ports: {g: {protocol: grpc}, x-y: {}}"]),
    st.sampled_from(["", ", env: {A: '1e3', B: ''}"]), st.sampled_from(["", ", resources: {memory: 1Gi}"]),
)  # fmt: skip


@given(drawn=st.lists(_SPECS, max_size=4), shuffled=st.randoms(use_true_random=False))
def test_every_leaf_has_an_origin_and_order_never_matters(drawn: list[Any], shuffled: Any) -> None:
    documents = [model("chat", CHAT)]
    for index, (replicas, uses, ports, env, resources) in enumerate(drawn):
        used = ", uses: [model/chat]" if uses else ""
        documents.append(app(f"a{index}", f"image: 'a:1', replicas: {replicas}{used}{ports}{env}{resources}"))
    release = release_of(*documents)
    rendering = render(release)
    for manifest in rendering.manifests:
        assert {path: True for path, _ in leaves(manifest.tree)} == {p: bool(c) for p, c in manifest.origins.items()}
        assert {path: chain[-1].value for path, chain in manifest.origins.items()} == dict(leaves(manifest.tree))
    mixed = list(release.services)
    shuffled.shuffle(mixed)
    again = render(Release(services=tuple(mixed)))
    assert write(e.tree for e in again.manifests) == write(e.tree for e in rendering.manifests)
    assert validate(rendering.manifests, SCHEMAS) == ()


def of_kind(kind: str, *documents: str) -> dict[str, Any]:
    manifests = render(release_of(*documents)).manifests
    return next(dict(each.tree) for each in manifests if each.tree["kind"] == kind)


def says(*documents: str) -> list[str]:
    return [each.says for each in render(release_of(*documents)).findings if each.verdict == "error"]


def test_a_port_has_its_number_in_annotations() -> None:
    noted = app("shop", "image: 'a/b:1', ports: {http: {port: 8081}}").replace(
        "labels: {team: blue}", "annotations: {prometheus.io/port: '${ ports.http }'}"
    )
    assert of_kind("Deployment", noted)["metadata"]["annotations"] == {"prometheus.io/port": "8081"}


@pytest.mark.parametrize(("bounds", "replicas"), [("min: 3, max: 3", 3), ("min: 0, max: 1", 1), ("min: 1, max: 1", 1)])
def test_bounds_that_are_one_number_are_that_many_replicas(bounds: str, replicas: int) -> None:
    document = model("chat", f"{CHAT}, replicas: 7, scale: {{{bounds}}}")
    assert of_kind("Deployment", document)["spec"]["replicas"] == replicas


def test_bounds_the_wrong_way_round_are_an_error() -> None:
    assert says(model("chat", f"{CHAT}, scale: {{min: 5, max: 2}}")) == [
        "spec.scale.min is 5, more than spec.scale.max 2"
    ]


@pytest.mark.parametrize("name", ["A B", "a=b", "..", "ä"])
def test_a_variable_that_kubernetes_would_refuse_is_an_error(name: str) -> None:
    assert "a variable's name has letters" in says(app("shop", f"image: 'a/b:1', env: {{'{name}': x}}"))[0]


def test_ports_that_cannot_be_told_apart_are_an_error() -> None:
    assert says(app("shop", "image: 'a/b:1', ports: {BAD_NAME: {port: 8081}, p8081: {port: 9000}}")) == [
        "two ports have the name p8081, by which Kubernetes distinguishes them"
    ]


def test_a_command_means_on_a_cluster_what_it_means_here() -> None:
    command = "command: [sh, -c, 'echo $HOME $$ $(PORT)', 'a$b']"
    container = of_kind("Deployment", app("shop", f"image: 'a/b:1', {command}"))["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["command"] == ["sh", "-c", "echo $$HOME $$$$ $$(PORT)", "a$b"]


def test_a_duration_beyond_what_kubernetes_holds_is_an_error() -> None:
    document = app("shop", "image: 'a/b:1', ports: {http: {}}, health: {interval: 999999h}")
    assert says(document)[0] == "spec.health.interval is 3599996400 s, more than Kubernetes can hold"


def test_those_who_use_an_app_get_the_url_of_each_of_its_ports() -> None:
    """A22."""
    shop = app("shop", "image: 'acme/shop:1', ports: {http: {port: 80}, events: {protocol: grpc, port: 81}}")
    user = app("user", "image: 'acme/user:1', uses: [app/shop]")
    manifests = render(release_of(shop, user), namespace="web").manifests
    data = next(each.tree["data"] for each in manifests if each.key[1] == "ConfigMap" and each.service == "app/user")
    assert data == {
        "BATEAU_SHOP_URL": "http://shop.web.svc:80",
        "BATEAU_SHOP_URL_HTTP": "http://shop.web.svc:80",
        "BATEAU_SHOP_URL_EVENTS": "shop.web.svc:81",
    }


def test_services_of_two_namespaces_call_each_other_and_nobody_else_does() -> None:
    """F4: addresses, peers of network policies and equal names go by namespace."""
    chat = model("chat", CHAT).replace("{name: chat", "{name: chat, namespace: models")
    shop = app("shop", "image: 'r.example/shop:1', ports: {http: {protocol: http}}, uses: [model/chat, app/cart]")
    cart = app("cart", "image: 'r.example/cart:1', ports: {http: {protocol: http}}")
    twin = app("chat", "image: 'r.example/chat:1'")
    rendering = render(release_of(chat, shop, cart, twin), namespace="web")
    assert [finding.says for finding in rendering.findings if finding.verdict == "error"] == []
    found: dict[tuple[Any, str, str], Any] = {
        (each.tree["kind"], each.key[2], each.key[3]): each.tree for each in rendering.manifests
    }
    data = found["ConfigMap", "web", "shop"]["data"]
    assert data["BATEAU_CHAT_URL"] == "http://chat.models.svc:8080/v1"
    assert data["BATEAU_CART_URL"] == "http://cart.web.svc:8080"
    (rule,) = found["NetworkPolicy", "models", "chat"]["spec"]["ingress"]
    assert rule["from"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "web"}}
    assert "namespaceSelector" not in found["NetworkPolicy", "web", "cart"]["spec"]["ingress"][0]["from"][0]
    assert {("Deployment", "models", "chat"), ("Deployment", "web", "chat")} <= set(found)
    origins = next(each.origins for each in rendering.manifests if each.key[1:3] == ("Deployment", "models"))
    assert [step.how for step in origins["metadata.namespace"]] == ["written"]


def test_a_label_of_a_spec_never_changes_a_selector() -> None:
    labels = "{team: red, app.kubernetes.io/name: other, app.kubernetes.io/component: x}"
    document = app("shop", SHOP).replace("{team: blue}", labels)
    selectors: list[list[Any]] = [
        [
            object_at(tree, "spec").get("selector", object_at(tree, "spec").get("podSelector"))
            for tree in (each.tree for each in render(release_of(each, model("chat", CHAT))).manifests)
            if tree["kind"] in ("Deployment", "Service", "NetworkPolicy")
        ]
        for each in (document, app("shop", SHOP))
    ]
    assert selectors[0] == selectors[1]
    assert "red" not in str(selectors)
    pods: Any = next(
        m.tree for m in render(release_of(document, model("chat", CHAT))).manifests if m.tree["kind"] == "Deployment"
    )["spec"]
    assert pods["selector"]["matchLabels"].items() <= pods["template"]["metadata"]["labels"].items()


def test_pods_share_the_volume_that_keeps_models() -> None:
    """The name of the file says which source it is from: a claim may have the files of several models."""
    one, two = (model(name, f"source: {name}, cache: {{claimName: models}}") for name in ("smollm2", "qwen3"))
    pods = [each.tree for each in render(release_of(one, two)).manifests if each.group_kind[1] == "Deployment"]
    specs: list[Any] = [object_at(each, "spec", "template", "spec") for each in pods]
    for spec in specs:
        assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in spec["volumes"]
        fetch, server = spec["initContainers"][0]["command"], spec["containers"][0]["args"]
        assert fetch[fetch.index("--output") + 1] == server[server.index("--model") + 1]
    assert len({spec["initContainers"][0]["command"][-1] for spec in specs}) == 2
    findings = render(release_of(model("chat", "source: 'oci://r.example/chat:1', cache: {claimName: a}"))).findings
    assert [each.path for each in findings] == ["spec.cache"]
