"""The messages of a real node and scheduler, and the words for them."""

import pytest

from bateau.domain.replica import ReplicaState
from bateau.kit.json_value import JsonObject
from bateau.runtimes.kubernetes.pods import as_replica, pod
from bateau.runtimes.kubernetes.reasons import image_words, quota_words, scheduling_words

PREEMPTION = ". preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            f"0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory{PREEMPTION}",
            "the only node cannot take the pod: 1 has too little free cpu, 1 has too little free memory",
        ),
        (
            "0/9 nodes are available: 6 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint {gpu: a, b: }.",
            (
                "none of the 9 nodes can take the pod: 6 have too little free nvidia.com/gpu, "
                "3 have the taint {gpu: a, b: } that the pod does not tolerate"
            ),
        ),
        ("0/2 nodes are available: 2 node(s) are tired.", "none of the 2 nodes can take the pod: 2: node(s) are tired"),
        ("waiting for ephemeral volume controller", "waiting for ephemeral volume controller"),
    ],
)
def test_the_scheduler_in_words(message: str, words: str) -> None:
    assert scheduling_words(message) == words


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            (
                'pods "quota-c4d9775cc-5knx5" is forbidden: exceeded quota: tiny, requested: pods=1,requests.cpu=1, '
                "used: pods=0,requests.cpu=0, limited: pods=0,requests.cpu=100m"
            ),
            (
                "ResourceQuota tiny is exceeded (pods: 1 more requested, 0 of 0 used; "
                "requests.cpu: 1 more requested, 0 of 100m used)"
            ),
        ),
        (
            'pods "q-8rkm" is forbidden: failed quota: tiny: must specify requests.cpu for: web',
            "ResourceQuota tiny requires requests.cpu of container web",
        ),
        ("2 of 3 replicas are ready", "2 of 3 replicas are ready"),
    ],
)
def test_a_quota_in_words(message: str, words: str) -> None:
    assert quota_words(message) == words


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "ErrImagePull",
            (
                'failed to pull and unpack image "r/a:1": failed to resolve image: failed to do request: Head '
                '"https://r/v2/a/manifests/1": dial tcp: lookup r on 10.0.0.53:53: read udp 10.0.0.1:44585: i/o timeout'
            ),
            "the registry of image r/a:1 cannot be reached: i/o timeout",
        ),
        ("ImagePullBackOff", 'Back-off pulling image "r/a:1": r/a:1: not found', "image r/a:1 does not exist"),
        (
            "ErrImagePull",
            "pull access denied, repository does not exist or may require authorization",
            "the registry refuses image r/a:1: it is private or does not exist, and imagePullSecrets must fit",
        ),
        (
            "ErrImageNeverPull",
            'Container image "r/a:1" is not present with pull policy of Never',
            "image r/a:1 is not on the node, and its pull policy is Never",
        ),
        ("ErrImagePull", "no space left on device", "image r/a:1 cannot be pulled: no space left on device"),
    ],
)
def test_a_missing_image_in_words(reason: str, message: str, words: str) -> None:
    assert image_words("r/a:1", reason, message) == words


def test_a_container_that_cannot_start_in_words() -> None:
    told = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    told += 'failed: unable to start container process: exec: "/nothere": stat /nothere: no such file or directory'
    status: JsonObject = {"name": "web", "state": {"waiting": {"reason": "RunContainerError", "message": told}}}
    found = pod({"status": {"phase": "Running", "containerStatuses": [status]}})
    assert found.state is ReplicaState.BACKOFF
    assert found.reason == 'web cannot start: exec: "/nothere": stat /nothere: no such file or directory'
    status["state"] = {"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "a" not found'}}
    found = pod({"status": {"phase": "Pending", "containerStatuses": [status]}})
    assert found.reason == 'web cannot start: configmap "a" not found'


@pytest.mark.parametrize(("labels", "zone"), [({"topology.kubernetes.io/zone": "east"}, "east"), ({}, None)])
def test_a_replica_has_the_zone_of_its_node(labels: JsonObject, zone: str | None) -> None:
    tree: JsonObject = {"metadata": {"name": "chat", "labels": labels}}
    assert as_replica("model/chat", pod(tree), revision="").zone == zone
