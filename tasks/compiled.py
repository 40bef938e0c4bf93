"""What XLA has compiled, kept between processes: a network of the same shape need not wait again.

It lies in this machine's own folder, apart by processor and by version of the backend, since
compiled code runs on the processor that it was made for.
"""

import os
import time
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.storage import local_home

DAYS = 7
"""What was compiled so many days ago goes: rows, and with them shapes, are others by then."""
BYTES = 1 << 30
"""What JAX keeps at most."""
SHORTEST = 0.3
"""Seconds of compiling that JAX keeps the outcome of."""


def keep_compiled() -> None:
    """Have the backend, which is not imported yet, keep what it compiles."""
    folder = local_home() / "compiled" / _kind()
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder.parent)
    if os.environ.get("KERAS_BACKEND") == "jax":
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(BYTES))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(SHORTEST))
        return
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if "persistent_cache" not in flags:
        own = f"--tf_xla_persistent_cache_directory={folder}"
        kinds = "--tf_xla_persistent_cache_device_types=CPU,GPU"
        os.environ["TF_XLA_FLAGS"] = f"{flags} {own} {kinds}".strip()


def _kind() -> str:
    """Return what compiled code depends on, as a name."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    try:
        number = version(backend)
    except PackageNotFoundError:  # such as tensorflow-cpu
        number = "unknown"
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    known = ("model name", "flags", "Features")
    processor = sorted({line for line in lines if line.startswith(known)})
    found = sha256("\n".join(processor).encode()).hexdigest()[:12]
    return f"{backend}-{number}-{found}"


def _forget_old(folder: Path) -> None:
    limit = time.time() - DAYS * 86_400
    for file in folder.rglob("*"):
        try:
            if file.is_file() and file.stat().st_mtime < limit:
                file.unlink()
        except FileNotFoundError:  # another process forgot it
            continue
