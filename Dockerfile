# The HTTP service as an image; docs/deploy.md says how to build and run it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# PyTorch without CUDA. Empty: PyTorch with its CUDA packages, for a GPU; the base stays the same.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=demo,heic
ENV PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# Before the code, so that a change of the code does not download it again
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url $TORCH_INDEX} torch torchvision
COPY pyproject.toml README.md LICENSE cli.py ./
COPY data_cache ./data_cache
COPY detect ./detect
COPY reid ./reid
COPY vehicle_reid ./vehicle_reid
RUN pip install --constraint constraints.txt ".[${EXTRAS}]"
# The OpenCV that works without libGL, see docs/install.md
RUN pip uninstall --yes opencv-python opencv-python-headless \
 && pip install --constraint constraints.txt --no-deps opencv-python-headless
RUN pgan doctor

FROM ${PYTHON_IMAGE}
# The folder exists with this owner, so that a new volume gets it too
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp pgan \
 && install --directory --owner=pgan --group=pgan /data
COPY --from=build /opt/venv /opt/venv
# Only /data and /tmp are written to
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["pgan"]
CMD ["serve", "--gallery", "/data/gallery", "--create", "--host", "0.0.0.0", "--tokens", "/run/secrets/tokens"]
