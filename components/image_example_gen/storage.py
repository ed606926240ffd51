"""Files on any of Beam's file systems: local, s3:// and gs://.

Credentials, regions and endpoints come from where each vendor's library looks for them, such as AWS_ENDPOINT_URL and
GOOGLE_APPLICATION_CREDENTIALS.
"""

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

# Beam, boto3 and Google's client are imported where they are needed: who reads a local folder's images does without.
S3_SCHEME = "s3"
GOOGLE_SCHEME = "gs"
MISSING = ("404", "NoSuchKey")
"""How S3 says that there is no such file."""
KEPT_BACK = ("403", "AccessDenied", "InvalidObjectState")
"""How it says that it does not give a file: this one, not all."""
CHUNK = 2**23
"""Bytes of a file in S3 that are asked for at a time where it is not read whole."""


class StorageError(ValueError):
    """A store that cannot be used; the message says which, why, and what to do."""


class Entry(NamedTuple):
    """A file that was listed."""

    path: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970; 0 where the file system does not say."""


def scheme_of(path: str) -> str:
    """s3, gs, …; "" of a local path."""
    scheme, separator, _ = path.partition("://")
    return scheme if separator else ""


def open_bytes(path: str) -> Any:
    """A binary stream of a file as it is."""
    scheme = scheme_of(path)
    if not scheme:
        return open(path, "rb")
    if scheme == S3_SCHEME:
        return io.BufferedReader(S3Stream(path), CHUNK)
    from apache_beam import io as beam_io

    return beam_io.filesystems.FileSystems.open(path, compression_type=beam_io.filesystem.CompressionTypes.UNCOMPRESSED)


def read_at_most(path: str, limit: int) -> bytes:
    """The first bytes of a file in a store, in one request.

    Raises:
      FileNotFoundError, PermissionError: it is not there, or not for us.
      StorageError: the store cannot be used.
    """
    scheme = scheme_of(path)
    if scheme == S3_SCHEME:
        return read_s3(path, 0, limit)
    if scheme == GOOGLE_SCHEME:
        return read_google(path, limit)
    with open_bytes(path) as stream:
        return stream.read(limit)


def open_decompressed(path: str) -> Any:
    """A binary stream of a file that is compressed where its name says so, as by .gz."""
    from apache_beam.io.filesystem import CompressedFile, CompressionTypes

    stream = open_bytes(path)
    compression = CompressionTypes.detect_compression_type(path)
    return stream if compression == CompressionTypes.UNCOMPRESSED else CompressedFile(stream, compression)


def stat(path: str) -> Entry:
    """Size and time of the last change of a file."""
    if scheme_of(path) == S3_SCHEME:
        bucket, key = bucket_and_key(path)
        with asking(path):
            found = s3_client().head_object(Bucket=bucket, Key=key)
        return Entry(path, found["ContentLength"], found["LastModified"].timestamp())
    from apache_beam.io.filesystems import FileSystems

    return entry(FileSystems.get_filesystem(path).metadata(path))


def below(folder: str) -> Iterator[Entry]:
    """Every file below a folder of a store, and below those in it; folder ends with a slash."""
    if scheme_of(folder) == S3_SCHEME:
        found = below_s3(folder)
    else:
        from apache_beam.io.filesystems import FileSystems

        found = (entry(one) for one in FileSystems.match([folder + "**"])[0].metadata_list)
    return (one for one in found if not one.path.endswith("/"))


def matching(pattern: str) -> list[Entry]:
    """Files whose whole path matches a pattern of *, ? and **."""
    from apache_beam.io.filesystem import FileSystem
    from apache_beam.io.filesystems import FileSystems

    if not scheme_of(pattern):
        return [entry(one) for one in FileSystems.match([pattern])[0].metadata_list]
    wanted = re.compile(FileSystem.translate_pattern(pattern))
    return [one for one in below(root_of(pattern)) if wanted.fullmatch(one.path)]


def names_matching(pattern: str) -> list[str]:
    """Files and folders of a store that match a pattern; a folder is what a file's name has before a slash."""
    from apache_beam.io.filesystem import FileSystem

    wanted, root = re.compile(FileSystem.translate_pattern(pattern)), root_of(pattern)
    names = set()
    for one in below(root):
        parts = one.path[len(root) :].split("/")
        names |= {root + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return sorted(name for name in names if wanted.fullmatch(name))


def root_of(pattern: str) -> str:
    """The folder above the first part of a path that is a pattern, with its slash."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0] + "/"


def entry(found: Any) -> Entry:
    """Beam's metadata of a file."""
    return Entry(found.path, found.size_in_bytes, found.last_updated_in_seconds or 0.0)


def cause(error: BaseException) -> BaseException:
    """The error that Beam wrapped in its own."""
    while details := getattr(error, "exception_details", None):
        error = next(iter(details.values()))
    return error


def why(error: BaseException) -> str:
    """The cause in an error of any of the file systems, in a line."""
    error = cause(error)
    if strerror := getattr(error, "strerror", None):
        return str(strerror)
    if getattr(error, "code", None) == 404:
        return os.strerror(errno.ENOENT)
    message = getattr(error, "message", None) or str(error)
    return str(message).splitlines()[0] if message else type(error).__name__


def refuse_lost_store(path: str, error: BaseException) -> None:
    """Stops where not only this file cannot be read but its store: no other could be, and no image is at fault.

    Raises:
      StorageError: says why.
    """
    error = cause(error)
    if isinstance(error, StorageError):
        raise error
    of_file = (
        isinstance(error, ValueError)  # a path that Beam has no file system for
        or getattr(error, "errno", None) in (errno.ENOENT, errno.EACCES)
        or getattr(error, "code", None) in (404, 403)
    )
    if scheme_of(path) and not of_file:
        raise StorageError(f"{path} cannot be read, its store does not answer as it should: {why(error)}.") from error


class S3Stream(io.RawIOBase):
    """A file in S3 that can be read from any place, as a zip is."""

    mode = "rb"
    """As of a file: Beam decompresses nothing that has none."""

    def __init__(self, path: str):
        self._path, self._size, self._position = path, stat(path).size, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """From any place."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The next read begins there."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer by one request."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        found = read_s3(self._path, self._position, wanted)
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)


def read_s3(path: str, start: int, size: int) -> bytes:
    """So many bytes of a file, fewer at its end."""
    bucket, key = bucket_and_key(path)
    with asking(path):
        span = {"Range": f"bytes={start}-{start + size - 1}"} if start else {}  # an empty file has no range
        with s3_client().get_object(Bucket=bucket, Key=key, **span)["Body"] as body:
            return body.read(size)


def read_google(path: str, limit: int) -> bytes:
    """The first bytes of a file in Google Cloud Storage."""
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    bucket, key = bucket_and_key(path)
    with asking_google(path):
        try:
            return google_client().bucket(bucket).blob(key).download_as_bytes(end=limit - 1)
        except RequestRangeNotSatisfiable:  # of an empty file
            return b""


@cache
def google_client() -> Any:
    """Beam's, but one for all threads: it makes another one, with connections of its own, for every file it opens."""
    from apache_beam.io.gcp.gcsio import create_storage_client
    from apache_beam.options.pipeline_options import PipelineOptions

    return create_storage_client(PipelineOptions([]))


def below_s3(folder: str) -> Iterator[Entry]:
    """Every file whose name begins so."""
    bucket, prefix = bucket_and_key(folder)
    with asking(f"s3://{bucket}"):
        for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", ()):
                yield Entry(f"s3://{bucket}/{one['Key']}", one["Size"], one["LastModified"].timestamp())


@cache
def s3_client() -> Any:
    """One for all threads. Beam's would try for ten minutes when a store does not answer, this one for one at most.

    Raises:
      StorageError: no endpoint or region to ask.
    """
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2}, max_pool_connections=16)
    try:
        return boto3.session.Session().client("s3", config=patience)
    except ValueError as error:
        raise StorageError(f"AWS_ENDPOINT_URL: {error}.") from error


def bucket_and_key(path: str) -> tuple[str, str]:
    """The parts of s3://BUCKET/KEY or gs://BUCKET/KEY."""
    bucket, _, key = path.split("://", 1)[1].partition("/")
    return bucket, key


def reach(path: str) -> None:
    """Asks for the bucket of a path in a store.

    Raises:
      StorageError: it cannot be used; says why.
    """
    scheme = scheme_of(path)
    if scheme == S3_SCHEME:
        bucket, _ = bucket_and_key(path)
        with asking(f"s3://{bucket}"):
            s3_client().list_objects_v2(Bucket=bucket, MaxKeys=1)
    elif scheme == GOOGLE_SCHEME:
        from google.cloud.storage.retry import DEFAULT_RETRY

        bucket, _ = bucket_and_key(path)
        with asking_google(f"gs://{bucket}"):
            next(iter(google_client().list_blobs(bucket, max_results=1, retry=DEFAULT_RETRY.with_timeout(20))), None)


@contextmanager
def asking(path: str) -> Iterator[None]:
    """Says what is wrong when S3 does not give what is asked for.

    Raises:
      FileNotFoundError, PermissionError: the one file is not there, or not for us.
      StorageError: the store or its bucket cannot be used.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    bucket, key = bucket_and_key(path)
    try:
        yield
    except (NoCredentialsError, NoRegionError) as error:
        raise StorageError(
            f"s3://{bucket} cannot be read: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to "
            "~/.aws/credentials."
        ) from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if key and code in ("404", "403"):
            reach(path)  # the answer to a question for the size has no words, it may be of the bucket
        if key and code in MISSING:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        if key and code in KEPT_BACK:
            raise PermissionError(errno.EACCES, f"{os.strerror(errno.EACCES)} ({code})", path) from error
        reason = "there is no such bucket" if code in ("404", "NoSuchBucket") else str(error).rstrip(".")
        raise StorageError(f"s3://{bucket} cannot be read: {reason}.") from error
    except BotoCoreError as error:
        raise StorageError(
            f"s3://{bucket} cannot be read: {str(error).rstrip('.')}; AWS_ENDPOINT_URL is where a store other than "
            "Amazon's answers."
        ) from error


@contextmanager
def asking_google(path: str) -> Iterator[None]:
    """Says what is wrong when Google Cloud Storage does not give what is asked for.

    Raises:
      FileNotFoundError, PermissionError: the one file is not there, or not for us.
      StorageError: the store or its bucket cannot be used.
    """
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    bucket, key = bucket_and_key(path)
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        if key and isinstance(error, NotFound):
            reach(path)  # it may be of the bucket
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        if key and isinstance(error, Forbidden):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from error
        if isinstance(error, NotFound):
            raise StorageError(f"gs://{bucket} cannot be read: there is no such bucket.") from error
        reason = why(getattr(error, "cause", None) or error)  # of the last of several tries
        raise StorageError(
            f"gs://{bucket} cannot be read: {reason.rstrip('.')}; GOOGLE_APPLICATION_CREDENTIALS names the file of "
            "credentials."
        ) from error
