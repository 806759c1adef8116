# The locked environment and the code in one image: docker build -t g2vlm .  (docs/containers.md)
ARG PYTHON=3.11
ARG UV=0.13.9

FROM ghcr.io/astral-sh/uv:${UV} AS uv

FROM python:${PYTHON}-slim-bookworm
COPY --from=uv /uv /usr/local/bin/uv
# git: the commit in every manifest, and DVC. The clone may belong to another user.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory '*'
WORKDIR /opt/g2vlm
# The environment is a layer of its own: a change of code does not make it again.
COPY requirements.lock ./
COPY workflow/make_env.sh workflow/
RUN UV_NO_CACHE=1 bash workflow/make_env.sh
ENV PATH=/opt/g2vlm/.venv/bin:$PATH
COPY . .
CMD ["make", "help"]
