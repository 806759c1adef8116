# The locked environment and the code in one image: docker build -t g2vlm .  (docs/containers.md)
#
# Images are named by exact versions: no registry could be asked for their digests when this was
# written. `docker buildx imagetools inspect IMAGE` prints a digest; IMAGE@sha256:... then pins it.
ARG PYTHON=3.11.13
ARG UV=0.13.9

FROM ghcr.io/astral-sh/uv:${UV} AS uv

FROM python:${PYTHON}-slim-bookworm
COPY --from=uv /uv /usr/local/bin/uv
# git: the commit in every manifest, and DVC. The clone may belong to another user.
# The user's home and the work folder are open, so that `docker run --user` may name any user.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory '*' \
 && useradd --uid 1000 --create-home g2vlm \
 && install --directory --mode 1777 /home/g2vlm /opt/g2vlm
WORKDIR /opt/g2vlm
# The environment is a layer of its own: a change of code does not make it again. It belongs to
# root, so that no job can change it.
COPY requirements.lock ./
COPY workflow/make_env.sh workflow/
COPY workflow/uv/requirements.lock workflow/uv/
RUN UV_NO_CACHE=1 bash workflow/make_env.sh
ENV PATH=/opt/g2vlm/.venv/bin:$PATH HOME=/home/g2vlm
COPY --chown=g2vlm . .
USER g2vlm
CMD ["make", "help"]
