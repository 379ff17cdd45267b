"""Read images from object stores, servers and archives.

:func:`open_root` turns the value of a parameter into a local folder or a :class:`Store`. A remote store is a file
system of fsspec. Downloaded files are kept in a folder, so that no file is downloaded twice. The folder may be removed
at any time. A remote archive is downloaded as one file and read by :mod:`~goodbad_pipeline.images.archives`.
"""

import contextlib
import glob
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec
import pandas as pd
from fsspec.registry import known_implementations
from pydantic import SecretStr

from goodbad_pipeline.errors import InputError, install_command
from goodbad_pipeline.images.archives import walk_order
from goodbad_pipeline.images.paths import FileContent, FileState, Root, Store, printable, too_large
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.shards import find_archives, is_archive, only_archives, open_archive, open_shards
from goodbad_pipeline.secrecy import redact

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAITS = (0.5, 2.0, 8.0)  # seconds before each further attempt
_FREE = 1 << 30  # bytes of disk that downloads leave free
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}
_EXTRAS |= dict.fromkeys(("az", "abfs", "abfss", "adl"), "azure")
_S3 = ("s3", "s3a")
_SFTP = ("sftp", "ssh")
_SFTP_CONNECTIONS = threading.BoundedSemaphore(8)  # by default, sshd refuses more than 10 logins at once
_idle: dict[str, list[Any]] = {}  # unused SFTP connections by URL; pop and append are atomic
_HTTP = ("http", "https")
_FINAL = (FileNotFoundError, PermissionError, ImportError, IsADirectoryError, NotImplementedError, ValueError)
_SECRET = re.compile(r"key|secret|token|pass|sas|credential|auth|connection", re.IGNORECASE)
_SIGNED = re.compile(r"[?&][^=&]*(sig|key|token|secret|password|credential)[^=&]*=", re.IGNORECASE)
_TIMES = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "modified", "created")


@dataclass
class Access:
    """How remote stores are read in this process."""

    options: Mapping[str, Any] = field(default_factory=dict)  # arguments of fsspec's file system, such as credentials
    downloads: Path | None = None  # folder of downloaded files; None downloads again at each read
    max_bytes: int = 0  # limit for the size of all downloaded files; files beyond the limit are read but not kept
    listings: dict[str, Mapping[str, FileState]] = field(default_factory=dict, init=False)  # files by URL of the store
    _buckets: dict[str, "_Bucket"] = field(default_factory=dict, init=False)

    @cached_property
    def room(self) -> int:
        """Bytes that may still be stored in ``downloads``."""
        folder = self.downloads or Path()
        sizes = sum(file.stat().st_size for file in folder.glob("*/*"))
        return min(self.max_bytes - sizes, shutil.disk_usage(folder).free - _FREE)

    def bucket(self, name: str) -> "_Bucket":
        """Return the reader of a bucket of S3, one for all threads."""
        with _lock:
            return self._buckets.get(name) or self._buckets.setdefault(name, _Bucket(name, self.options))


_access = Access()


def configure(access: Access) -> None:
    """Set how this process reads remote stores. Secrets are only in ``access``: stores are printed and pickled."""
    global _access  # noqa: PLW0603 - nodes and datasets open stores, and know no credentials
    _access = access
    _idle.clear()


def is_url(name: str) -> bool:
    """Return True if a parameter names a remote store instead of a path."""
    return "://" in name


def check_url(parameter: str, url: str, credentials: str = "images.credentials") -> None:
    """Raise an InputError if a URL contains a secret, because parameters are logged."""
    if is_url(url) and (urlsplit(url).password is not None or _SIGNED.search(url)):
        raise InputError(
            f"{parameter}: a URL must contain no password, key or signature, got '{_shown(url)}'; put secrets into "
            f"conf/local/credentials.yml and name the entry in {credentials}"
        )


def open_root(name: str | Path, parameter: str = "images.root", *, again: bool = False) -> Root:
    """Return the local folder, archive or remote store with this path or URL. A folder need not exist.

    A folder that contains only archives, and a pattern such as ``shards-*.tar``, are read as one archive. The files of
    a remote store are listed once in a session; with ``again``, they are listed again.

    Raises:
        InputError: A URL cannot be opened, or an archive is damaged.
    """
    text = str(name)
    if not is_url(text):
        if is_archive(text) and Path(text).is_file():
            return open_archive(Path(text), text, parameter)
        files = [(file, str(file)) for file in find_archives(text)]
        return open_shards(files, text, parameter) if files else Path(text)
    if text.startswith("file://"):
        return open_root(text.removeprefix("file://"), parameter)
    folder, _, pattern = text.rpartition("/") if glob.has_magic(text) else (text.rstrip("/"), "", "*")
    if again:
        _access.listings.pop(folder, None)
    store = RemoteStore(folder, parameter)
    if pattern == "*" and is_archive(urlsplit(text).path):
        return open_archive(store.download(), str(store), parameter)
    if urlsplit(text).scheme in _HTTP:
        raise InputError(f"{parameter}: an https URL must name a zip, tar or Parquet file, got '{store}'")
    matching = (path for path in store.files if fnmatch(path, pattern))
    archives = only_archives(matching) if pattern == "*" else list(matching)
    found = (RemoteStore(f"{folder}/{path}", parameter) for path in archives)
    return open_shards([(one.download(), str(one)) for one in found], text, parameter) if archives else store


def with_root(table: pd.DataFrame, root: str) -> pd.DataFrame:
    """Return the table of images with ``root`` in ``attrs``, which pandas stores in Parquet files."""
    marked = table.copy(deep=False)
    marked.attrs["root"] = root
    return marked


@dataclass(frozen=True)
class RemoteStore(Store):
    """The files below a URL."""

    url: str
    parameter: str = "images.root"  # for error messages
    listed: Mapping[str, FileState] | None = None  # files, if they are known

    def __str__(self) -> str:
        return _shown(self.url)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.parameter, self.listed)  # a connection cannot be sent to another process

    def only(self, paths: Sequence[str]) -> "RemoteStore":
        """Return a store whose list of files is ``paths``, so that another process need not list the files."""
        return replace(self, listed={path: self.files[path] for path in paths if path in self.files})

    @cached_property
    def files(self) -> Mapping[str, FileState]:
        """The `FileState` of each file, by path. The files are listed only once in a session, at the first access."""
        known = _access.listings.get(self.url) if self.listed is None else self.listed
        if known is not None:
            return known
        self._fs.invalidate_cache()
        prefix = f"{self._folder}/"
        found = self._attempt(lambda: self._fs.find(self._folder, detail=True), self.url)
        listed = {path.removeprefix(prefix): _state(info) for path, info in found.items() if path.startswith(prefix)}
        # A name that ends with `/` is an object that a web console makes for a folder.
        states = {path: listed[path] for path in walk_order(listed) if path and not path.endswith("/")}
        self._remove_outdated(states)
        _access.listings[self.url] = states
        return states

    def read(self, path: str, max_bytes: int | None = None) -> FileContent:
        """Read a file from the folder of downloads, or else from the server."""
        state = self.files.get(path)
        if state is None:
            return FileContent(Rejection(Reason.MISSING, f"no such file in '{self}'"))
        if max_bytes is not None and state.size > max_bytes:
            return FileContent(too_large(state.size, max_bytes))
        kept = self._kept(path, state)
        with contextlib.suppress(OSError):
            if kept is not None and len(data := kept.read_bytes()) == state.size:
                return FileContent(data, state)
        content = self._request(path)
        if isinstance(content, Rejection) or len(content) != state.size:  # replaced after it was listed
            return FileContent(content)
        if kept is not None and state.is_settled:
            self._keep(kept, content)
        return FileContent(content, state)

    def _request(self, path: str) -> bytes | Rejection:
        # By default, s3fs searches its list of files for the size, which takes long in large folders.
        options = {"max_concurrency": 1} if urlsplit(self.url).scheme in _S3 else {}

        def read() -> bytes:
            with self._connection() as connection:
                content: bytes = connection.cat_file(f"{self._folder}/{path}", **options)
                return content

        if options:
            bucket, _, key = f"{self._folder}/{path}".partition("/")
            if (data := _access.bucket(bucket).read(key)) is not None:
                return data
        try:
            return self._attempt(read, f"{self.url}/{path}")
        except FileNotFoundError:
            return Rejection(Reason.MISSING, "removed while it was read")
        except PermissionError:
            self._fs.invalidate_cache()
            self._attempt(lambda: self._fs.info(self._folder), self.url)  # ends the run if the credentials have expired
            return Rejection(Reason.UNREADABLE, "the server denies access to it")

    def download(self) -> Path:
        """Return a local copy of the file at the URL. Download the file only if there is no current copy."""
        info = self._attempt(lambda: self._fs.info(self._folder), self.url)
        folder = _access.downloads
        if folder is None:
            raise InputError(
                f"{self.parameter}: '{self}' can only be downloaded in a Kedro session; use `kedro run`, or give the "
                "path of a local copy"
            )
        target = self._downloads / f"{_digest(repr(_state(info)))}-{self._folder.rpartition('/')[2]}"
        if not target.is_file():
            shutil.rmtree(target.parent, ignore_errors=True)  # earlier versions
            target.parent.mkdir(parents=True)
            logger.info("Downloading %s, %d MiB", self, (info.get("size") or 0) >> 20)
            draft = target.with_name(f".{os.getpid()}")
            self._attempt(lambda: self._fs.get_file(self._folder, str(draft)), self.url)
            draft.replace(target)
        return target

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            file_system, folder = fsspec.url_to_fs(self.url, **_access.options)
        except Exception as error:  # a file system raises errors of its own when it is created
            raise self._named(error, self.url) from None
        return file_system, folder.rstrip("/")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """Yield a file system that no other thread uses: threads that share a connection of paramiko hang."""
        if urlsplit(self.url).scheme not in _SFTP:
            yield self._fs
            return
        with _SFTP_CONNECTIONS:
            idle = _idle.setdefault(self.url, [])
            own = idle.pop() if idle else fsspec.url_to_fs(self.url, skip_instance_cache=True, **_access.options)[0]
            yield own
            idle.append(own)  # not after an error, which may have broken the connection

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _folder(self) -> str:
        return self._opened[1]

    @property
    def _downloads(self) -> Path:
        return (_access.downloads or Path()) / _digest(self.url)

    def _kept(self, path: str, state: FileState) -> Path | None:
        return self._downloads / _digest(f"{path}\0{tuple(state)}") if _access.downloads else None

    def _keep(self, file: Path, data: bytes) -> None:
        with contextlib.suppress(OSError):  # without space, the file is downloaded again when it is needed
            file.parent.mkdir(parents=True, exist_ok=True)
            with _lock:
                _access.room -= len(data)
                if _access.room < 0:
                    return
            draft = file.with_name(f".{os.getpid()}-{threading.get_ident()}")
            draft.write_bytes(data)
            draft.replace(file)

    def _remove_outdated(self, states: Mapping[str, FileState]) -> None:
        if _access.downloads is not None and self._downloads.is_dir():
            current = {self._kept(path, state) for path, state in states.items()}
            for file in self._downloads.iterdir():
                if file not in current:
                    file.unlink(missing_ok=True)

    def _attempt(self, action: Callable[[], T], url: str) -> T:
        """Return the result of ``action``, retried after connection errors; convert the last error to an InputError."""
        for wait in (*WAITS, None):
            try:
                return action()
            except Exception as error:  # file systems raise errors of their own, such as those of botocore
                final = isinstance(error, _FINAL) or _is_denied(error)
                if isinstance(error, FileNotFoundError | PermissionError) and url != self.url:
                    raise
                if final or wait is None:
                    raise self._named(error, url) from None  # the cause may contain secrets
                logger.warning("%s: %s; trying again in %g s", _shown(url), self._cause(error), wait)
                time.sleep(wait)
        raise AssertionError

    @staticmethod
    def _cause(error: Exception) -> str:
        first = (str(error).splitlines() or [""])[0]
        return f"{type(error).__name__}: {redact(first, _hide(_access.options))}"

    def _named(self, error: Exception, url: str) -> InputError:
        protocol = urlsplit(self.url).scheme
        if isinstance(error, ImportError):
            extra = _EXTRAS.get(protocol)
            advice = install_command(extra) if extra else "install the package that it names"
        elif protocol not in known_implementations:
            advice = "use s3://, gs://, az://, sftp://, https://…zip or another protocol of fsspec"
        elif _is_denied(error):
            advice = "check images.credentials and its entry in conf/local/credentials.yml"
        elif isinstance(error, FileNotFoundError):
            advice = "check the bucket or server and the folder"
        else:
            advice = "check the connection and images.credentials, then run the same command again, which continues"
        return InputError(
            f"{self.parameter}: '{printable(_shown(url))}' cannot be read ({self._cause(error)}); {advice}"
        )


class _Bucket:
    """Reads objects of a bucket of S3 by obstore, which takes a fifth of the processor time of s3fs.

    obstore is used only if its settings follow from the options alone, without environment and configuration files.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._store: Any = None
        self._has_read = False
        client = options.get("client_kwargs") or {}
        endpoint, region = client.get("endpoint_url"), client.get("region_name")
        others = options.keys() - {"key", "secret", "token", "client_kwargs"}
        others |= client.keys() - {"endpoint_url", "region_name"}
        if others or not (options.get("key") and options.get("secret") and (endpoint or region)):
            return
        server: Any = {"region": region or "us-east-1"} | ({"endpoint": endpoint} if endpoint else {})
        keys: Any = {"access_key_id": options["key"], "secret_access_key": options["secret"], "expires_at": None}
        keys["token"] = options.get("token")
        with contextlib.suppress(Exception):  # such as an invalid URL, which s3fs reports
            from obstore.store import S3Store  # noqa: PLC0415 - a package of an extra

            self._store = S3Store(
                name,
                config=server,
                credential_provider=lambda: keys,  # with keys in `config`, AWS_SESSION_TOKEN would be used too
                client_options={"allow_http": True, "timeout": timedelta(hours=1)},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
            )

    def read(self, key: str) -> bytes | None:
        """Return the content of an object, or None if s3fs must read the object.

        After an error before the first success, obstore is not used again.
        """
        store = self._store
        if store is None:
            return None
        try:
            content = bytes(store.get(key).bytes())
        except Exception:  # s3fs repeats the request and reports the error
            if not self._has_read:
                self._store = None
            return None
        self._has_read = True
        return content


_lock = threading.Lock()


def _is_denied(error: Exception) -> bool:
    """Return True if the error means wrong credentials. Botocore and paramiko have their own error types."""
    return isinstance(error, PermissionError) or bool(re.search("Credentials|Authentication", type(error).__name__))


def _state(info: Mapping[str, Any]) -> FileState:
    """Return the state of a file from its listing. Without ETag and time, each scan reads the file again."""
    tag = next((info[name] for name in ("ETag", "etag", "md5Hash", "checksum") if info.get(name)), None)
    modified = _nanoseconds(next((info[name] for name in _TIMES if info.get(name)), None))
    changed = 0 if tag else modified or 2**62
    return FileState(int(info.get("size") or 0), modified, changed, int(_digest(str(tag))[:15], 16) if tag else 0)


def _nanoseconds(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return int(_digest(value)[:15], 16)
    seconds = value.timestamp() if isinstance(value, datetime) else float(value or 0)
    return int(seconds * 1e9)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _shown(url: str) -> str:
    """Return the URL without its password and query, for messages."""
    return re.sub(r"(?<=://)[^/@]*:[^/@]*@", "", url.partition("?")[0])


def _hide(options: Any, *, secret: bool = False) -> Any:
    """Mark the values of options as secret if the option has a name such as key or token."""
    if isinstance(options, Mapping):
        return {name: _hide(value, secret=secret or bool(_SECRET.search(str(name)))) for name, value in options.items()}
    return SecretStr(options) if secret and isinstance(options, str) else None
