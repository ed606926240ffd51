"""Objects of a store by their names below one prefix: S3 and what speaks its protocol, and Google Cloud Storage.

Both stores are strongly consistent, and both can make an object only where there is none, which takes the place
of a lock. Credentials, regions and endpoints come from where each vendor's library looks for them, such as
AWS_ENDPOINT_URL and GOOGLE_APPLICATION_CREDENTIALS.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from serving.destination import PublishError


class Objects(Protocol):
    """The objects below one prefix. Errors of the store are PublishErrors."""

    def list(self, folder: str = "") -> dict[str, datetime]:
        """Names of the objects in a folder and below, relative to the prefix, and when each was written."""

    def get(self, name: str) -> bytes | None:
        """Content, None where there is no such object."""

    def put(self, name: str, content: bytes) -> None:
        """Makes or replaces an object."""

    def create(self, name: str, content: bytes) -> bool:
        """Makes an object unless there is one; says whether it did."""

    def upload(self, file: Path, name: str) -> None:
        """A file → an object."""

    def download(self, name: str, file: Path) -> None:
        """An object → a file."""

    def copy(self, source: str, target: str) -> None:
        """One object → another, within the store."""

    def delete(self, names: Iterable[str]) -> None:
        """Removes objects; names of none are ignored."""


def open_objects(uri: str) -> Objects:
    """The objects below s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.

    Raises:
      PublishError: another scheme, or no bucket.
    """
    match = re.fullmatch(r"(s3|gs)://([^/]+)(?:/(.*?))?/*", uri)
    if not match:
        raise PublishError(f"{uri} is not a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX; write it as one of them")
    prefix = f"{match[3]}/" if match[3] else ""
    return S3(uri, match[2], prefix) if match[1] == "s3" else GoogleCloudStorage(uri, match[2], prefix)


class S3:
    """Amazon S3, MinIO, SeaweedFS, … through boto3."""

    def __init__(self, uri: str, bucket: str, prefix: str):
        import boto3
        from botocore.config import Config

        self._uri, self._bucket, self._prefix = uri, bucket, prefix
        retries: Any = {"mode": "standard", "max_attempts": 5}
        with self._errors():
            self._client = boto3.client("s3", config=Config(retries=retries, connect_timeout=10, read_timeout=60))

    def list(self, folder: str = "") -> dict[str, datetime]:
        with self._errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + folder
            )
            return {
                entry["Key"].removeprefix(self._prefix): entry["LastModified"]
                for page in pages
                for entry in page.get("Contents", [])
            }

    def get(self, name: str) -> bytes | None:
        with self._errors():
            try:
                return self._client.get_object(**self._key(name))["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None

    def put(self, name: str, content: bytes) -> None:
        with self._errors():
            self._client.put_object(**self._key(name), Body=content)

    def create(self, name: str, content: bytes) -> bool:
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                self._client.put_object(**self._key(name), Body=content, IfNoneMatch="*")
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                    return False
                raise
            return True

    def upload(self, file: Path, name: str) -> None:
        with self._errors():
            self._client.upload_file(str(file), **self._key(name))

    def download(self, name: str, file: Path) -> None:
        with self._errors():
            self._client.download_file(**self._key(name), Filename=str(file))

    def copy(self, source: str, target: str) -> None:
        with self._errors():
            self._client.copy(self._key(source), **self._key(target))

    def delete(self, names: Iterable[str]) -> None:
        with self._errors():
            for name in names:
                self._client.delete_object(**self._key(name))

    def _key(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise PublishError(f"{self._uri} cannot be used: {error}") from error


class GoogleCloudStorage:
    """Google Cloud Storage through google-cloud-storage."""

    def __init__(self, uri: str, bucket: str, prefix: str):
        from google.cloud.storage import Client

        self._uri, self._prefix = uri, prefix
        with self._errors():
            self._bucket = Client().bucket(bucket)

    def list(self, folder: str = "") -> dict[str, datetime]:
        with self._errors():
            blobs = self._bucket.list_blobs(prefix=self._prefix + folder)
            return {blob.name.removeprefix(self._prefix): blob.updated for blob in blobs}

    def get(self, name: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with self._errors():
            try:
                return self._blob(name).download_as_bytes()
            except NotFound:
                return None

    def put(self, name: str, content: bytes) -> None:
        with self._errors():
            self._blob(name).upload_from_string(content, "application/octet-stream")

    def create(self, name: str, content: bytes) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        with self._errors():
            try:
                self._blob(name).upload_from_string(content, "application/octet-stream", if_generation_match=0)
            except PreconditionFailed:
                return False
            return True

    def upload(self, file: Path, name: str) -> None:
        with self._errors():
            self._blob(name).upload_from_filename(str(file))

    def download(self, name: str, file: Path) -> None:
        with self._errors():
            self._blob(name).download_to_filename(str(file))

    def copy(self, source: str, target: str) -> None:
        with self._errors():
            token = None
            while True:  # a large object takes several calls
                token, _, _ = self._blob(target).rewrite(self._blob(source), token=token)
                if token is None:
                    return

    def delete(self, names: Iterable[str]) -> None:
        from google.api_core.exceptions import NotFound

        with self._errors():
            for name in names:
                with contextlib.suppress(NotFound):
                    self._blob(name).delete()

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + name)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise PublishError(f"{self._uri} cannot be used: {error}") from error
