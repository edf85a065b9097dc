# syntax=docker/dockerfile:1
# The live server. CPU by default; for a GPU: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
FROM python:3.12-slim AS build

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# torch first, in a layer of its own: it changes least and weighs most
COPY constraints.txt ./
RUN pip install --index-url "$TORCH_INDEX" "torch==$(sed -n 's/^torch==//p' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY smartgrid_core ./smartgrid_core
COPY trainer ./trainer
COPY server ./server
COPY benchmarks ./benchmarks
RUN pip install -c constraints.txt ".[serve]"

FROM node:22-slim AS page
WORKDIR /web
COPY web* ./
RUN if [ -f package.json ]; then npm ci --omit=dev --ignore-scripts; fi && mkdir -p node_modules

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 grid && mkdir -p /data /runs && chown grid:grid /data /runs
COPY --from=build /opt/venv /opt/venv
COPY --from=page /web /web
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 \
    SMARTGRID_HOST=0.0.0.0 SMARTGRID_PORT=8000 SMARTGRID_DATA_DIR=/data SMARTGRID_RUNS_DIR=/runs \
    SMARTGRID_WEB_DIR=/web SMARTGRID_LOG_FORMAT=json
USER 10001
VOLUME ["/data", "/runs"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# A host that is not loopback needs a token: give SMARTGRID_TOKEN, or read the one printed at start.
CMD ["smartgrid-serve"]
