# The gateway's image: a locked virtual environment on a slim Python, run as uid 10001, fit for a read-only root file system.
# Build: docker build -t dynamodb-proxy .        Needs at run time: a settings file and policies below /etc/dynamodb-proxy.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm
# The same Python with a compiler, for proxy/native.c; nothing of it is in the image that runs.
ARG BUILD_IMAGE=docker.io/library/python:3.12-bookworm

FROM ${BUILD_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Every file that pip takes from outside has its hash in the lock; of it nothing is compiled.
COPY requirements/build.txt requirements/server.txt requirements/
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/dynamodb-proxy \
    && /opt/build/bin/pip install --require-hashes --only-binary=:all: --requirement requirements/build.txt \
    && /opt/build/bin/pip --python /opt/dynamodb-proxy/bin/python install \
        --require-hashes --only-binary=:all: --requirement requirements/server.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY proxy proxy
# --no-index: if the lock lacks something that [server] needs, the build stops here instead of fetching it unhashed.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/dynamodb-proxy/bin/python install --no-index --find-links dist "dynamodb-proxy[server]" \
    && /opt/build/bin/pip --python /opt/dynamodb-proxy/bin/python check \
    && /opt/dynamodb-proxy/bin/python -P -c "import proxy._native"

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dynamodb-proxy" \
      org.opencontainers.image.description="Identity-aware gateway between Apache Airflow and Amazon DynamoDB" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The base image's own pip is of no use at run time, and scanners report what it vendors. The empty folders are mount points:
# a read-only root file system cannot make them later.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/bin/pip* \
    && groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gateway \
    && mkdir -p /etc/dynamodb-proxy/policies /etc/dynamodb-proxy/tls
COPY --from=build /opt/dynamodb-proxy /opt/dynamodb-proxy
ENV PATH=/opt/dynamodb-proxy/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
WORKDIR /etc/dynamodb-proxy
USER 10001:10001
# 8080: data plane. 9090: health and metrics.
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# No curl in the image: the Python at hand asks. The port is admin_listen's default; where another is set, set another check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9090, timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["dynamodb-proxy"]
CMD ["serve", "--config", "/etc/dynamodb-proxy/proxy.yaml"]
