"""What the commands read from the environment, which is where make puts its variables."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from engine_common.settings import Settings


def _matching(pattern: str, rule: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must {rule}")
        return value

    return AfterValidator(check)


# RFC 1123, and the stricter RFC 1035 that holds for Services.
_Label = Annotated[
    str,
    _matching(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "begin and end with a letter or digit, and have only a-z, 0-9 and hyphens"
    ),
]
_ServiceName = Annotated[
    str,
    _matching(
        r"[a-z]([-a-z0-9]*[a-z0-9])?",
        "begin with a letter, end with a letter or digit, and have only a-z, 0-9 and hyphens, since Services are named "
        "after it",
    ),
]


class DeploySettings(Settings):
    """What is deployed where."""

    registry: str | None = Field(
        None, description="registry and path before the images' names, without a slash at the end"
    )
    tag: str | None = Field(
        None, description="tag of the images; unset: a development tag stays, otherwise the version"
    )
    values: Path | None = Field(
        None, description="file of values for the chart; on the cluster of `make kind-up` added to those of kind"
    )
    namespace: _Label = Field("order-engine", max_length=63, description="namespace, made when missing")
    release: _ServiceName = Field("order-engine", max_length=40, description="name of the Helm release")
    stopped: bool = Field(False, description="`make deploy` without pods of api and worker, for a restore")
    deploy_timeout_s: int = Field(300, ge=10, le=86_400, description="seconds that the pods have to become ready")


class KindSettings(DeploySettings):
    """The cluster on this machine, and what is deployed there."""

    kind_cluster: _Label = Field("order-engine", max_length=40, description="name of the cluster")
    kind_http_port: int = Field(8080, ge=1, le=65535, description="port of localhost where the ingress is published")
    kind_node_image: str | None = Field(None, description="image of the nodes; unset: kind's own default")

    @property
    def context(self) -> str:
        """Name of the cluster's context in the kubeconfig."""
        return f"kind-{self.kind_cluster}"
