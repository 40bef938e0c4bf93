"""An S3 server on loopback, for tests of addresses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def object_storage() -> Iterator[str]:
    """Start moto's server and point S3's clients at it; yield the address of a bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    kept = dict(os.environ)
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ENDPOINT_URL_S3=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_DEFAULT_REGION="us-east-1",
    )
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        os.environ.pop(name, None)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # it keeps file systems, and with them their address
    s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)  # a process's servers share theirs
    try:
        yield "s3://bucket"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
        os.environ.clear()
        os.environ.update(kept)
