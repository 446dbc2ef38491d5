"""The crates that are linked into the agent, according to cargo: without build scripts and procedural
macros, which only run during the build, and without what only tests use."""
import importlib.metadata
import importlib.util
import json
import pathlib
import re
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "convex-peer-monitor"


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def host():
    """The target triple that cargo builds for by default."""
    return re.search(r"^host: (.+)$", output("rustc", "-vV"), re.MULTILINE)[1]


class Linked:
    """Third-party crates in `packages`, cargo's metadata by name and version; the crates of this
    workspace in `members`; and in `uses` which third-party crates each one depends on. The members
    count as one crate there, `own`."""

    def __init__(self, target):
        # cargo tree knows which features the agent enables; cargo metadata adds those of the tests.
        edges = ("--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}")
        uses, above = {}, []
        for line in output("cargo", "tree", "--locked", "--package", NAME, "--target", target, *edges).splitlines():
            depth, name, version = line.split()[:3]
            crate = (name, version.removeprefix("v"))
            above[int(depth) :] = [crate]
            uses.setdefault(crate, set())
            if len(above) > 1:
                uses[above[-2]].add(crate)

        known = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
        by_crate = {(package["name"], package["version"]): package for package in known["packages"]}
        linked = {crate: by_crate[crate] for crate in sorted(uses)}
        # Only crates of this workspace have no source.
        self.members = {crate: package for crate, package in linked.items() if package["source"] is None}
        self.packages = {crate: package for crate, package in linked.items() if crate not in self.members}
        self.own = next(crate for crate in self.members if crate[0] == NAME)
        self.uses = {crate: uses[crate] for crate in self.packages}
        self.uses[self.own] = set().union(*(uses[crate] for crate in self.members)) - self.members.keys()

    def folder(self, name):
        """Source directory of a crate, whatever its version."""
        return next(folder(package) for package in self.packages.values() if package["name"] == name)


def folder(package):
    return pathlib.Path(package["manifest_path"]).parent


def expression(package):
    """Licence as an SPDX expression. Old crates use a slash for 'or'."""
    return re.sub(r"\s*/\s*", " OR ", package["license"])


def checksums():
    """SHA-256 of each crate's package, from Cargo.lock."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in locked}


def rust_version():
    return output("rustc", "--version").split()[1]


def sqlite_version(linked):
    """Version of the SQLite whose C source a crate contains."""
    header = (linked.folder("libsqlite3-sys") / "sqlite3/sqlite3.h").read_text()
    return re.search(r'^#define SQLITE_VERSION +"(.+)"', header, re.MULTILINE)[1]


def static(target):
    """Whether programs for this target contain the C library."""
    return target.endswith("-musl")


def zig():
    """Source directory of the C library and the compiler's runtime that zig links."""
    found = importlib.util.find_spec("ziglang")
    if found is None:
        raise SystemExit("zig is missing in this Python: run 'scripts/need zig' and put target/tools/venv/bin into the PATH")
    return pathlib.Path(found.origin).parent


def zig_version():
    return importlib.metadata.version("ziglang")


def musl_version():
    header = (zig() / "lib/libc/musl/src/internal/version.h").read_text()
    return re.search(r'^#define VERSION "(.+)"', header, re.MULTILINE)[1]


def compiler(target):
    """Name and version of the C compiler."""
    if static(target):
        return f"zig {zig_version()}"
    return output("cc", "--version").splitlines()[0]
