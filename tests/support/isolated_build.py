"""Executes the steps of a Dockerfile without a container engine: another root, other users, no network.

The root is a folder with this machine's /usr, read-only, in place of the base image's; everything else in it belongs to
the build. Each RUN has separate mount, process and network namespaces, and the user that the Dockerfile names.
``apt-get`` is a stand-in that records its arguments. The packages come from this process's environment, so nothing is
downloaded. Mounts and changes of the user require root.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from dockerfile_reader import Ignored, Step

PATH = "/standin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# files outside /usr that its programs read
BORROWED = ("etc/alternatives", "etc/ld.so.cache", "etc/login.defs", "etc/texmf", "etc/fonts", "var/lib/texmf")
APT_GET = """#!/bin/sh
echo "$*" >> /standin/apt-get.log
mkdir -p /var/lib/apt/lists && touch /var/lib/apt/lists/some_list
"""


def can_isolate() -> bool:
    """Whether this process may create such namespaces."""
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "chroot", "setpriv"))):
        return False
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


class Build:
    """A build in progress: its root folder, and the settings of the steps so far."""

    def __init__(self, context: Path, root: Path, arguments: dict[str, str]) -> None:
        """``arguments``: those of ``docker build --build-arg``."""
        self.context, self.root, self.arguments = context, root, arguments
        self.ignored = Ignored((context / ".dockerignore").read_text(encoding="utf-8"))
        self.user, self.folder, self.shell = "root", "/", ["/bin/sh", "-c"]
        self.environment = {"PATH": PATH}
        self.borrowed = [Path("/usr"), *{Path(sys.base_prefix), Path(sys.prefix)}]
        for name in ("etc", "home", "opt", "proc", "dev", "root", "var/lib", "tmp", "standin"):
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
            if Path("/", name).is_symlink():
                (root / name).symlink_to(Path("/", name).readlink())
            elif Path("/", name).exists():
                self.borrowed.append(Path("/", name))
        self.borrowed += [Path("/", name) for name in BORROWED if Path("/", name).exists()]
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n", encoding="ascii")
        (root / "etc/group").write_text("root:x:0:\n", encoding="ascii")
        (root / "standin/apt-get").write_text(APT_GET, encoding="ascii")
        (root / "standin/apt-get").chmod(0o755)

    def step(self, step: Step) -> str:
        """Execute one step and return the output of a RUN. Raises AssertionError, with the output, if it fails."""
        if step.keyword == "SHELL":
            self.shell = list(step.words)
        elif step.keyword == "USER":
            self.user = step.words[0]
        elif step.keyword == "WORKDIR":
            self.folder = step.text
            self.inside(step.text).mkdir(parents=True, exist_ok=True)
        elif step.keyword in ("ARG", "ENV"):
            given = self.arguments if step.keyword == "ARG" else {}
            self.environment |= {name: given.get(name, value) for name, value in (w.split("=") for w in step.words)}
        elif step.keyword == "COPY":
            self._copy(step)
        elif step.keyword == "RUN":
            return self.run([*self.shell, step.text])
        return ""

    def run(self, command: Iterable[str], user: str | None = None) -> str:
        """Run a command in the root as the build's user, or as another (a name, or an unused number)."""
        uid, gid, home = self.identity(user or self.user)
        variables = {**self.environment, "HOME": home}
        inner = ["env", "--ignore-environment", f"--chdir={self.folder}"]
        inner += [*(f"{name}={value}" for name, value in variables.items()), *command]
        lines = ["set -e"]
        for path in self.borrowed:
            there = shlex.quote(str(self.inside(str(path))))
            if path.is_dir():
                self.inside(str(path)).mkdir(parents=True, exist_ok=True)
            else:
                self.inside(str(path)).touch()
            lines += [f"mount --bind {shlex.quote(str(path))} {there}", f"mount -o remount,bind,ro {there}"]
        dev = shlex.quote(str(self.root / "dev"))
        lines += [f"mount -t proc proc {shlex.quote(str(self.root / 'proc'))}", f"mount -t tmpfs none {dev}"]
        lines += [f"mkdir -m 1777 {dev}/shm", f"ln -s /proc/self/fd {dev}/fd"]
        lines += [f"touch {dev}/{name}; mount --bind /dev/{name} {dev}/{name}" for name in ("null", "zero", "urandom")]
        rights = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        lines.append(f"exec chroot {shlex.join([str(self.root), *rights, *inner])}")
        outer = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", "\n".join(lines)]
        done = subprocess.run(outer, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def identity(self, user: str) -> tuple[int, int, str]:
        """(uid, gid, home) of a user in the root's passwd; an unknown number is a uid with gid 0 and home "/"."""
        for line in (self.root / "etc/passwd").read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if user in (fields[0], fields[2]):
                return int(fields[2]), int(fields[3]), fields[5]
        return int(user), 0, "/"

    def inside(self, path: str) -> Path:
        """The location on this machine of a path of the build."""
        return self.root / path.lstrip("/")

    def _copy(self, step: Step) -> None:
        *sources, target = step.words
        uid, gid, _ = self.identity(step.flags["chown"].split(":")[0]) if "chown" in step.flags else (0, 0, "")
        place = self.inside(os.path.join(self.folder, target))
        into = target.endswith("/") or target == "."
        for source in sources:
            start = self.context / source
            if start.is_file():
                pairs = [(start, place / start.name if into else place)]
            else:
                pairs = [(path, place / path.relative_to(start)) for path in self._walk(start)]
            assert pairs, f"COPY {source}: nothing of that is in the context"
            for path, destination in pairs:
                for folder in reversed([parent for parent in destination.parents if not parent.exists()]):
                    folder.mkdir()
                    os.chown(folder, uid, gid)
                shutil.copy2(path, destination)
                os.chown(destination, uid, gid)

    def _walk(self, start: Path) -> list[Path]:
        """The files of the context below ``start``, except .git, which may change during the build."""
        found = []
        for folder, folders, files in os.walk(start):
            here = Path(folder).relative_to(self.context)
            kept = [name for name in sorted(folders) if name != ".git" and not self.ignored(str(here / name))]
            folders[:] = kept
            held = [name for name in sorted(files) if name != ".git" and not self.ignored(str(here / name))]
            found += [Path(folder, name) for name in held]
        return found

    def lend_environment(self, folder: Path) -> None:
        """Put this process's environment where ``make setup`` will look, as if it had just been installed there."""
        folder.mkdir()
        for path in Path(sys.prefix).iterdir():
            if path.is_file():
                shutil.copy2(path, folder)
            else:
                (folder / path.name).symlink_to(path)
        uid, gid, _ = self.identity(self.user)
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, gid, follow_symlinks=False)
