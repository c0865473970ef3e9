"""The lock files in env/ agree with each other, with the requested packages, and with the installed ones."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from checkout import ENV, LOCKS


def read(name: str) -> list[tuple[Requirement, list[str]]]:
    """(requirement, its hash options) of each entry of a lock file or an .in file."""
    text = re.sub(r"(^|\s)#.*", "", (ENV / name).read_text(encoding="utf-8")).replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line.strip()]
    result = []
    for words in entries:
        hashes = [word for word in words if word.startswith("--")]
        result.append((Requirement(" ".join(word for word in words if not word.startswith("--"))), hashes))
    return result


def pins(name: str) -> dict[str, Version]:
    """{canonical name: version}; fails unless each entry is an exact pin."""
    result = {}
    for requirement, _ in read(name):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and not specifier.version.endswith(".*"), requirement
        result[canonicalize_name(requirement.name)] = Version(specifier.version)
    return result


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_pinned_and_hashed(name: str) -> None:
    assert pins(name)
    for requirement, hashes in read(name):
        assert requirement.url is None and not requirement.extras
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in hashes), requirement
        assert len(set(hashes)) == len(hashes), requirement


@pytest.mark.parametrize("name", [*LOCKS, "requirements.in", "torch.in"])
def test_no_index_and_no_place_of_one_machine(name: str) -> None:
    lines = (ENV / name).read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if not line.lstrip().startswith("#")]
    assert not [line for line in code if "://" in line or "@" in line or line.startswith("-")]
    assert not [line for line in lines if re.search(r"(^|[\s=])(file:|~?/)\w", line)]


def test_direct_dependencies_are_locked_at_their_version() -> None:
    locked = pins("requirements.txt")
    asked = pins("requirements.in")
    assert asked == {name: locked.get(name) for name in asked}
    for line in (ENV / "requirements.in").read_text(encoding="utf-8").splitlines():
        if "==" in line and "torch" not in line:
            assert "#" in line or line.split("==")[0] in TORCH_NEEDS, f"say why: {line}"


TORCH_NEEDS = {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions"}


def test_torch_is_apart() -> None:
    rest, cpu, cuda = (set(pins(name)) for name in LOCKS)
    assert not [name for name in rest if name.startswith(("torch", "nvidia", "triton", "cuda"))]
    assert cpu == {"torch", "torchvision"}
    assert cuda > cpu and any(name.startswith("nvidia-") for name in cuda) and "triton" in cuda
    assert not rest & cuda  # otherwise pip would see two pins


def test_torch_builds() -> None:
    asked = pins("torch.in")
    cuda = pins("torch-cuda.txt")
    assert {name: cuda[name] for name in asked} == asked
    by_system = {}
    for requirement, _ in read("torch-cpu.txt"):
        for system in ("linux", "darwin"):
            if requirement.marker is None or requirement.marker.evaluate({"sys_platform": system}):
                assert (requirement.name, system) not in by_system
                by_system[requirement.name, system] = str(requirement.specifier)
    assert by_system == {
        ("torch", "linux"): f"=={asked['torch']}+cpu",  # never PyPI's, which is a CUDA build
        ("torch", "darwin"): f"=={asked['torch']}",
        ("torchvision", "linux"): f"=={asked['torchvision']}",
        ("torchvision", "darwin"): f"=={asked['torchvision']}",
    }


def test_locks_are_complete() -> None:
    """Everything is installed with --no-deps, so each requirement of a package must be locked at a matching version."""
    locked = pins("requirements.txt") | pins("torch.in")
    seen = 0
    for name in locked:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        seen += 1
        for need in map(Requirement, needs):
            of_cuda = need.name.startswith(("nvidia", "cuda", "triton"))
            if of_cuda or (need.marker and not need.marker.evaluate({"extra": ""})):
                continue
            version = locked.get(canonicalize_name(need.name))
            assert version is not None and need.specifier.contains(version, prereleases=True), f"{name} needs {need}"
    assert seen > len(locked) // 2, "run the tests in the project's environment"
