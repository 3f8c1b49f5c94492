# The base image is named by its tag: pin it by the digest that your registry shows you.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS built
WORKDIR /src
RUN python -m venv /opt/betalbar
COPY requirements.txt .
RUN /opt/betalbar/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY statemachine statemachine
COPY webhooks webhooks
RUN /opt/betalbar/bin/pip install --no-cache-dir --no-deps .

FROM ${PYTHON}
RUN useradd --system --uid 10001 --home-dir /nonexistent betalbar
COPY --from=built /opt/betalbar /opt/betalbar
ENV PATH=/opt/betalbar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BETALBAR_HOST=0.0.0.0 \
    BETALBAR_PORT=8080 \
    BETALBAR_LOG=json
USER 10001
WORKDIR /tmp
EXPOSE 8080
# Nothing is written but to the database: run it with a root that is read-only.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
# SIGTERM finishes what is in hand, within ten seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["betalbar"]
CMD ["serve"]
