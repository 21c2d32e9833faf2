"""What the commands read from the environment, which is where make puts its variables."""

from pathlib import Path

from pydantic import Field

from engine_common.settings import Settings

_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class DeploySettings(Settings):
    """What is deployed where."""

    registry: str | None = Field(
        None, description="registry and path before the images' names, without a slash at the end"
    )
    tag: str | None = Field(
        None, description="tag of the images; unset: a development tag stays, otherwise the version"
    )
    values: Path | None = Field(None, description="file of values for the chart")
    namespace: str = Field("order-engine", pattern=_NAME, max_length=63, description="namespace, made when missing")
    release: str = Field("order-engine", pattern=_NAME, max_length=40, description="name of the Helm release")
    stopped: bool = Field(False, description="`make deploy` without pods of api and worker, for a restore")
    deploy_timeout_s: int = Field(300, ge=10, description="seconds that the pods have to become ready")


class KindSettings(DeploySettings):
    """The cluster on this machine, and what is deployed there."""

    kind_cluster: str = Field("order-engine", pattern=_NAME, max_length=40, description="name of the cluster")
    kind_http_port: int = Field(8080, ge=1, le=65535, description="port of localhost where the ingress is published")
    kind_node_image: str | None = Field(None, description="image of the nodes; unset: kind's own default")

    @property
    def context(self) -> str:
        """Name of the cluster's context in the kubeconfig."""
        return f"kind-{self.kind_cluster}"
