# The command line and the service as one image: docker build --tag flowtime-export .
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint requirements.lock '.[service]'

FROM python:3.13-slim
COPY --from=build /opt/venv /opt/venv
RUN useradd --uid 10001 --create-home flowtime
USER 10001
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /home/flowtime
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s CMD ["flowtime-export", "--version"]
ENTRYPOINT ["flowtime-export"]
CMD ["--help"]
