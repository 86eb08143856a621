# The bridge, and the command line. docker build --tag featurewatch .
#
# Two stages: pip and what it needs to build stay in the first one; the second has Python, the packages and nothing else.

FROM python:3.13.5-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv --without-pip /opt/featurewatch
# What it depends on, as a layer of its own: an edit of the code does not install it anew.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir -p src/featurewatch grafana/dashboards && touch src/featurewatch/__init__.py \
    && pip --python /opt/featurewatch install '.[bridge,client,postgres,notify]' \
    && pip --python /opt/featurewatch uninstall --yes featurewatch
COPY src src
COPY grafana/dashboards grafana/dashboards
RUN pip --python /opt/featurewatch install --no-deps .

FROM python:3.13.5-slim-bookworm
LABEL org.opencontainers.image.title=featurewatch org.opencontainers.image.licenses=Apache-2.0
RUN groupadd --gid 8400 featurewatch \
    && useradd --uid 8400 --gid 8400 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin featurewatch \
    && install --directory --owner=8400 --group=8400 --mode=0700 /var/lib/featurewatch
COPY --from=build /opt/featurewatch /opt/featurewatch
# No .pyc is written: the file system is read-only where it should be.
ENV PATH=/opt/featurewatch/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    FEATUREWATCH_DATA_DIR=/var/lib/featurewatch
WORKDIR /var/lib/featurewatch
USER 8400:8400
EXPOSE 8400
# SIGTERM, which Docker sends, ends it in order.
ENTRYPOINT ["featurewatch"]
CMD ["serve"]
