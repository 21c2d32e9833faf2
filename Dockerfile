# The images of api, worker and mockdex: `make images`, or `docker build --target api .`
# No tool that builds is in them: stages install the locked requirements and our packages, the last ones copy the results.
# What all three require is one layer that they share, and our packages are one of their own: a node has little to fetch.
ARG PYTHON_IMAGE=python:3.13-slim
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.9

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
# Bytecode that does not depend on times of files is valid in whatever layer it is copied to.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=0 PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    SOURCE_DATE_EPOCH=0 VIRTUAL_ENV=/venv
WORKDIR /src

FROM build AS wheels
COPY requirements/dev.txt requirements/dev.txt
COPY libs/common libs/common
COPY services services
# What builds them comes from the locks too.
RUN --mount=type=cache,target=/root/.cache/uv for package in libs/common services/api services/worker services/mockdex; do \
        uv build --quiet --wheel --build-constraints requirements/dev.txt --require-hashes --out-dir /wheels $package || exit 1; \
    done

FROM build AS common-environment
COPY requirements/common.txt .
RUN --mount=type=cache,target=/root/.cache/uv uv venv --quiet /venv && uv pip install --quiet --require-hashes -r common.txt
# Copies to /added what a service's own requirements have added; refuses what they have changed, since an image could
# not show it: then requirements/*.txt do not agree, and `make lock` mends that.
RUN find /venv ! -type d | sort >before && find /venv -type f ! -name '*.pyc' -exec sha256sum {} + >contents \
    && printf '%s\n' '#!/bin/sh -e' 'sha256sum --check --quiet contents' 'find /venv ! -type d | sort | comm -13 before - >new' \
        'mkdir /added' 'tar -cf new.tar -T new' 'tar -xf new.tar -C /added' >added \
    && chmod 755 added

FROM common-environment AS api-environment
COPY requirements/api.txt .
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --quiet --require-hashes -r api.txt && /src/added

FROM wheels AS api-code
RUN uv pip install --quiet --no-index --no-deps --python python3 --target /code /wheels/engine_common-*.whl /wheels/engine_api-*.whl

FROM common-environment AS worker-environment
COPY requirements/worker.txt .
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --quiet --require-hashes -r worker.txt && /src/added

FROM wheels AS worker-code
RUN uv pip install --quiet --no-index --no-deps --python python3 --target /code /wheels/engine_common-*.whl /wheels/engine_worker-*.whl

FROM common-environment AS mockdex-environment
COPY requirements/mockdex.txt .
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --quiet --require-hashes -r mockdex.txt && /src/added

FROM wheels AS mockdex-code
RUN uv pip install --quiet --no-index --no-deps --python python3 --target /code /wheels/engine_common-*.whl /wheels/mockdex-*.whl

FROM ${PYTHON_IMAGE} AS runtime
RUN python -m pip uninstall --quiet --yes --root-user-action ignore pip \
    && groupadd --gid 10001 engine && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp engine
COPY --from=common-environment /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONPATH=/code PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
# `make images` adds version and revision: as arguments here they would make every layer after them anew.
LABEL org.opencontainers.image.licenses=Apache-2.0

# The api and the worker image also migrate: `python -m engine_common.migrate`.
FROM runtime AS api
LABEL org.opencontainers.image.title=order-engine-api \
      org.opencontainers.image.description="The REST and WebSocket interface of the order engine."
COPY --from=api-environment /added/venv /venv
COPY --from=api-code /code /code
ENV API_HOST=0.0.0.0
EXPOSE 3000
ENTRYPOINT ["python", "-m", "engine_api"]

FROM runtime AS worker
LABEL org.opencontainers.image.title=order-engine-worker \
      org.opencontainers.image.description="Executes the orders of the order engine."
COPY --from=worker-environment /added/venv /venv
COPY --from=worker-code /code /code
ENTRYPOINT ["python", "-m", "engine_worker"]

FROM runtime AS mockdex
LABEL org.opencontainers.image.title=order-engine-mockdex \
      org.opencontainers.image.description="Mock venues and chain for the order engine."
COPY --from=mockdex-environment /added/venv /venv
COPY --from=mockdex-code /code /code
# Its volume; a mounted one takes its rights from the pod's fsGroup.
USER root
RUN install --directory --owner 10001 --group 10001 /data
USER 10001:10001
ENV MOCKDEX_HOST=0.0.0.0 MOCK_DEX_DATA_DIR=/data
EXPOSE 4000
ENTRYPOINT ["python", "-m", "mockdex"]
