"""Files on any of Beam's file systems: local, s3:// and gs://.

Credentials, regions and endpoints come from where each vendor's library looks for them, such as AWS_ENDPOINT_URL and
GOOGLE_APPLICATION_CREDENTIALS.
"""

import re
from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Any, NamedTuple

# Beam is imported where it is needed: who reads a local folder's images does without.
S3_SCHEME = "s3"
MISSING = (404, "404", "NoSuchBucket")
"""How stores say that there is no such thing."""


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
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    if scheme_of(path) == S3_SCHEME:
        return s3(path).open(path, "rb")
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def open_decompressed(path: str) -> Any:
    """A binary stream of a file that is compressed where its name says so, as by .gz."""
    from apache_beam.io.filesystem import CompressedFile, CompressionTypes

    stream = open_bytes(path)
    compression = CompressionTypes.detect_compression_type(path)
    return stream if compression == CompressionTypes.UNCOMPRESSED else CompressedFile(stream, compression)


def stat(path: str) -> Entry:
    """Size and time of the last change of a file."""
    if scheme_of(path) == S3_SCHEME:
        from apache_beam.io.aws.clients.s3.messages import GetRequest

        found = s3(path).client.get_object_metadata(GetRequest(*bucket_and_key(path)))
        return Entry(path, found.size, found.last_modified.timestamp())
    from apache_beam.io.filesystems import FileSystems

    return entry(FileSystems.get_filesystem(path).metadata(path))


def below(folder: str) -> Iterator[Entry]:
    """Every file below a folder of a store, and below those in it; folder ends with a slash."""
    if scheme_of(folder) == S3_SCHEME:
        listed = s3(folder).list_files(folder, with_metadata=True)
        found = (Entry(path, size, modified) for path, (size, modified) in listed)
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


def why(error: BaseException) -> str:
    """The cause in an error of any of the file systems, in a line."""
    while details := getattr(error, "exception_details", None):  # of Beam's
        error = next(iter(details.values()))
    if strerror := getattr(error, "strerror", None):
        return str(strerror)
    message = getattr(error, "message", None) or str(error)
    return str(message).splitlines()[0] if message else type(error).__name__


def s3(path: str) -> Any:
    """Beam's S3 file system for one file or listing.

    Raises:
      StorageError: the bucket cannot be used.
    """
    from apache_beam.io.aws.s3io import S3IO

    reach(path)
    return S3IO(client=copy(s3_client()))


@cache
def s3_client() -> Any:
    """Beam's client, of which a copy has its own stream but the same connections: Beam makes a new one for every file,
    which takes longer than to read it.
    """
    from apache_beam.io.aws.clients.s3.boto3_client import Client
    from apache_beam.options.pipeline_options import PipelineOptions

    return Client(PipelineOptions([]))


def bucket_and_key(path: str) -> tuple[str, str]:
    """The parts of s3://BUCKET/KEY."""
    bucket, _, key = path.split("://", 1)[1].partition("/")
    return bucket, key


def reach(path: str) -> None:
    """Asks for the bucket of a path in S3, once: Beam would ask a store that does not answer, or for credentials that
    are missing, for minutes.

    Raises:
      StorageError: it cannot be used; says why.
    """
    if scheme_of(path) == S3_SCHEME:
        reach_bucket(bucket_and_key(path)[0])


@cache
def reach_bucket(bucket: str) -> None:
    """Likewise, of a bucket."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        client = boto3.session.Session().client(
            "s3", config=Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
        )
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except (NoCredentialsError, NoRegionError) as error:
        raise StorageError(
            f"s3://{bucket} cannot be read: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to "
            "~/.aws/credentials."
        ) from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        reason = "there is no such bucket" if code in MISSING else str(error)
        raise StorageError(f"s3://{bucket} cannot be read: {reason}.") from error
    except (BotoCoreError, ValueError) as error:
        raise StorageError(
            f"s3://{bucket} cannot be read: {str(error).rstrip('.')}; AWS_ENDPOINT_URL is where a store other than "
            "Amazon's answers."
        ) from error
