# Two stages: the first compiles, the second holds a virtual environment and nothing to build with.
FROM python:3.13-slim-bookworm AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY config/ config/
COPY proxy/ proxy/
RUN python -m venv /opt/qantara && /opt/qantara/bin/pip install --no-cache-dir .


FROM python:3.13-slim-bookworm

RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin qantara
COPY --from=build /opt/qantara /opt/qantara
COPY deploy/container.yaml /etc/qantara/qantara.yaml
ENV PATH=/opt/qantara/bin:$PATH PYTHONUNBUFFERED=1

USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM

# A connection that is accepted, whatever the routes say. Another port than 8080: override this check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8080), 2).close()"]

ENTRYPOINT ["qantara"]
CMD ["run", "-c", "/etc/qantara/qantara.yaml"]
