import json
from typing import Any

import pytest

from kindstack.diagnosis import distinct, last_words, troubles


def pod(name: str = "order-engine-api-7cb9fc4f47-abcde", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"initContainers": [{"name": "wait-for-migrations"}], "containers": [{"name": "api"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}], **status},
    }


def with_container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    container = {"name": "api", "image": "order-engine-api:nosuch", "ready": False, "state": state, **more}
    return pod(containerStatuses=[container])


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return with_container({"waiting": {"reason": reason, "message": message}})


def event(reason: str, message: str, kind: str, name: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"kind": kind, "name": name}}


def sentence_of(document: dict[str, Any], words: str = "", events: tuple[dict[str, Any], ...] = ()) -> str:
    (trouble,) = troubles([document], events)
    return trouble.sentence(words)


WHO = "Pod order-engine-api-7cb9fc4f47-abcde"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_is_nowhere_is_named_with_how_it_gets_there(reason: str) -> None:
    """The cause is what the registry's long message ends with."""
    message = (
        'failed to pull and unpack image "x": Head "https://registry-1.docker.io/": dial tcp: lookup r: no such host'
    )
    assert sentence_of(waiting(reason, message)) == (
        f"{WHO} (container api) cannot get the image order-engine-api:nosuch (no such host): check REGISTRY "
        "and TAG, and push the image with `make images push`; on kind, run `make kind-up` without TAG, NAMESPACE and "
        "RELEASE, which loads the images, then deploy again without TAG."
    )


def test_a_missing_secret_is_named() -> None:
    """Kubernetes says which."""
    message = "couldn't find key wallet-key in Secret order-engine/order-engine-secrets"
    assert sentence_of(waiting("CreateContainerConfigError", message)) == (
        f"{WHO} (container api) lacks what it is configured with ({message}): create it, or name another one "
        "in the values."
    )


def test_a_pod_that_fits_nowhere_says_what_is_short() -> None:
    """Without what the scheduler says of preemption."""
    message = "0/2 nodes are available: 2 Insufficient memory. no new claims to deallocate, preemption: 0/2 nodes help."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert sentence_of(pod(conditions=[condition])) == (
        f"{WHO} fits on no node (0/2 nodes are available: 2 Insufficient memory): lower `resources.requests` in the "
        "values, or add a node."
    )


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("pod has unbound immediate PersistentVolumeClaims", "storage class"),
        ("2 node(s) didn't match Pod's node affinity/selector", "`nodeSelector`"),
    ],
)
def test_what_to_do_depends_on_why_a_pod_fits_nowhere(message: str, remedy: str) -> None:
    """Room is not the only reason."""
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    assert remedy in sentence_of(pod(conditions=[condition]))


def test_a_crash_is_told_with_the_last_words() -> None:
    """They say more than the exit code."""
    crashed = with_container(
        {"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 1, "reason": "Error"}}
    )
    assert sentence_of(crashed, "DATABASE_URL must be set") == (
        f'{WHO} (container api) stops with exit code 1; its log ends with "DATABASE_URL must be set": mend what '
        "the log says, then deploy again."
    )


def test_too_little_memory_is_not_called_a_crash() -> None:
    """Nothing is in the log of what is killed."""
    killed = with_container(
        {"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    )
    assert "was killed for using more memory than its limit: raise `resources.limits.memory`" in sentence_of(killed)


def test_a_wrong_password_is_told_with_where_the_right_one_belongs() -> None:
    """An init container waits for the database, and says why in its log."""
    container = {"name": "wait-for-migrations", "image": "i", "ready": False, "state": {"running": {"startedAt": "t"}}}
    told = sentence_of(
        pod(initContainerStatuses=[container]), 'FATAL: password authentication failed for user "engine"'
    )
    assert told.startswith(f"{WHO} (container wait-for-migrations) is still waiting; its log ends with")
    assert told.endswith("put the password back into the Secret that the volume was made with.")


def test_a_failing_probe_is_quoted() -> None:
    """The last one of this pod."""
    running = with_container({"running": {"startedAt": "t"}})
    probe = event("Unhealthy", "Readiness probe failed: 503", "Pod", "order-engine-api-7cb9fc4f47-abcde")
    other = event("Unhealthy", "Readiness probe failed: 500", "Pod", "another")
    assert "(container api) runs but is not ready (Readiness probe failed: 503)" in sentence_of(
        running, events=(probe, other)
    )


def test_pods_that_are_refused_are_told_though_there_are_none() -> None:
    """Pod Security and quotas act before there is a pod."""
    refused = event(
        "FailedCreate", 'violates PodSecurity "restricted:latest"', "ReplicaSet", "order-engine-api-7cb9fc4f47"
    )
    (trouble,) = troubles([], [refused])
    assert trouble.sentence().startswith(
        'ReplicaSet order-engine-api-7cb9fc4f47 may not make its pods (violates PodSecurity "restricted:latest")'
    )


@pytest.mark.parametrize(
    "fine",
    [
        pod(conditions=[{"type": "Ready", "status": "True"}]),
        pod(phase="Succeeded"),
        {**pod(), "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_ready_finished_and_leaving_pods_are_no_trouble(fine: dict[str, Any]) -> None:
    """Whatever else is said of them."""
    assert troubles([fine], []) == []


def test_a_job_that_tried_again_is_judged_by_its_newest_pod() -> None:
    """A migration that failed while the database started, and then succeeded, is no failure."""

    def attempt(number: int, phase: str) -> dict[str, Any]:
        tried = pod(
            f"migrate-{number}",
            phase=phase,
            containerStatuses=[{"name": "migrate", "image": "i", "state": {"terminated": {"exitCode": 1}}}],
        )
        tried["metadata"] |= {"creationTimestamp": f"2026-01-01T00:0{number}:00Z"}
        tried["metadata"] |= {"ownerReferences": [{"kind": "Job", "uid": "job"}]}
        return tried

    assert troubles([attempt(2, "Succeeded"), attempt(1, "Failed")], []) == []
    (trouble,) = troubles([attempt(1, "Failed")], [])
    assert trouble.reason == "JobFailed"


def test_pods_of_one_trouble_are_told_once() -> None:
    """With how many there are."""
    pods = [waiting("ErrImagePull") | {"metadata": {"name": f"order-engine-api-7cb9fc4f47-abcd{n}"}} for n in range(3)]
    pods.append(waiting("CreateContainerConfigError"))
    assert [(trouble.reason, number) for trouble, number in distinct(troubles(pods, []))] == [
        ("NoImage", 3),
        ("CreateContainerConfigError", 1),
    ]


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (json.dumps({"event": "cannot start", "error": "no database", "level": "error"}), "cannot start: no database"),
        ("[1, 2]", "[1, 2]"),
        ("unable to retrieve container logs for containerd://x", ""),
    ],
)
def test_the_last_words_are_the_message_of_the_last_line(log: str, words: str) -> None:
    """JSON is read, anything else quoted, and what kubectl says in place of a log is no word of the program."""
    assert last_words(log) == words
