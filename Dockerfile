# Meshdrop in a container. The CPU image:
#   docker build -t meshdrop .
# with CUDA (the packages of PyTorch bring all of CUDA that is needed but the driver, which the host's runtime adds):
#   docker build -t meshdrop:cuda --build-arg TORCH=cu128 .
ARG PYTHON=3.12
ARG DEBIAN=trixie

FROM python:${PYTHON}-slim-${DEBIAN} AS build
# cpu, or a CUDA that the version of PyTorch in requirements.lock is built for: see https://download.pytorch.org/whl/torch
ARG TORCH=cpu
WORKDIR /src
COPY . .
# The same steps as `make install` on a machine, without its units.
RUN PREFIX=/opt/meshdrop \
    PIP_ARGS="--no-cache-dir --extra-index-url https://download.pytorch.org/whl/${TORCH}" \
    sh systemd/install.sh program

FROM python:${PYTHON}-slim-${DEBIAN}
LABEL org.opencontainers.image.title="Meshdrop" \
      org.opencontainers.image.description="Drop a folder of six views on a share, get a textured 3D model" \
      org.opencontainers.image.licenses="Apache-2.0"
# The number is what files on the shares belong to: give the one that your file server knows.
ARG UID=1000
ARG GID=1000
# tini takes signals from the first moment on, and buries what jobs leave behind.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid "${GID}" meshdrop \
    && useradd --uid "${UID}" --gid "${GID}" --home-dir /var/lib/meshdrop --no-create-home --shell /usr/sbin/nologin meshdrop \
    && install --directory --owner=meshdrop --group=meshdrop --mode=2775 /srv/meshdrop /srv/meshdrop/inbox /srv/meshdrop/outbox \
    && install --directory --owner=meshdrop --group=meshdrop --mode=0750 /var/lib/meshdrop /var/cache/meshdrop
COPY --from=build /opt/meshdrop /opt/meshdrop
ENV PATH=/opt/meshdrop/bin:$PATH \
    MESHDROP_INBOX=/srv/meshdrop/inbox \
    MESHDROP_OUTBOX=/srv/meshdrop/outbox \
    MESHDROP_STATE_DIR=/var/lib/meshdrop \
    NUMBA_CACHE_DIR=/var/cache/meshdrop/numba \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1
USER ${UID}:${GID}
WORKDIR /var/lib/meshdrop
# Settings of your own: a file at /etc/meshdrop/meshdrop.toml, or MESHDROP_* variables.
VOLUME ["/srv/meshdrop/inbox", "/srv/meshdrop/outbox", "/var/lib/meshdrop", "/var/cache/meshdrop"]
# The daemon ends its worker within seconds and records where each job stands.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["meshdrop", "health"]
ENTRYPOINT ["tini", "--", "meshdrop"]
CMD ["run"]
