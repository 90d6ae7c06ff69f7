"""A real server of the S3 protocol on loopback, with a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import requests
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
BUCKET = "outputs"


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server, which ends with the `with`."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        url = "http://{}:{}".format(*moto.get_host_and_port())
        # What it holds belongs to the process, and outlives the server.
        requests.post(f"{url}/moto-api/reset", timeout=60).raise_for_status()
        client = boto3.client(
            "s3", endpoint_url=url, region_name="ru-central1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ru-central1"})
        yield url
    finally:
        moto.stop()
