# The image holds the code and its locked packages: no compiler, no secrets, nothing that the process may write to but
# /app/data. Runs with a read-only root file system (`docker run --read-only --tmpfs /tmp`).

FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt \
    && /venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin lyceum \
    && install -d -o lyceum -g lyceum -m 0700 /app/data
COPY --from=packages /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    API_HOST=0.0.0.0 \
    API_PORT=8000 \
    DATA_DIR=/app/data \
    DATABASE_URL=sqlite:////app/data/lyceum.db
# Compiled templates are root's alone as they are made, and all files of a clone under a strict umask: the last line opens them.
RUN python -m compileall -q backend migrations main.py \
    && python -c 'from backend.core import templating; templating.prepare(debug=False)' \
    && python scripts/sbom.py sbom.cdx.json \
    && find . -path ./data -prune -o ! -type l ! -perm -o=r -exec chmod a+rX {} +
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /app/data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"API_PORT\"]}/health', timeout=4)"]
# Schema, roles and the first administrator with their sign-in link come before the server; safe to repeat.
CMD ["python", "-m", "backend.cli", "serve"]
