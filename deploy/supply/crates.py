"""What a program of this project is linked of, as cargo tells it: neither build scripts nor procedural macros, which run where it is
built, nor what tests use."""
import json
import pathlib
import re
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "convex-peer-monitor"


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def target():
    """The triple that cargo builds for when it is not told."""
    return re.search(r"^host: (.+)$", output("rustc", "-vV"), re.MULTILINE)[1]


class Linked:
    """`packages` has cargo's metadata of each crate by name and version, ours among them; `uses` the crates that each depends on."""

    def __init__(self):
        # The tree knows which features the program has on; the metadata mixes in those of the tests.
        edges = ("--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}")
        self.uses, above = {}, []
        for line in output("cargo", "tree", "--locked", "--target", target(), *edges).splitlines():
            depth, name, version = line.split()[:3]
            crate = (name, version.removeprefix("v"))
            above[int(depth) :] = [crate]
            self.uses.setdefault(crate, set())
            if len(above) > 1:
                self.uses[above[-2]].add(crate)

        known = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target()))
        by_crate = {(package["name"], package["version"]): package for package in known["packages"]}
        self.packages = {crate: by_crate[crate] for crate in sorted(self.uses)}
        self.own = next(crate for crate in self.packages if crate[0] == NAME)

    def others(self):
        return [package for crate, package in self.packages.items() if crate != self.own]

    def folder(self, name):
        """Where the source of a crate is, of whatever version."""
        return next(folder(package) for package in self.others() if package["name"] == name)


def folder(package):
    return pathlib.Path(package["manifest_path"]).parent


def expression(package):
    """The licence as SPDX writes it; a slash is what cargo took for 'or' once."""
    return re.sub(r"\s*/\s*", " OR ", package["license"])


def checksums():
    """SHA-256 of the package of each crate, from Cargo.lock."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in locked}


def rust_version():
    return output("rustc", "--version").split()[1]


def sqlite_version(linked):
    """Of the SQLite that a crate brings along as C."""
    header = (linked.folder("libsqlite3-sys") / "sqlite3/sqlite3.h").read_text()
    return re.search(r'^#define SQLITE_VERSION +"(.+)"', header, re.MULTILINE)[1]
