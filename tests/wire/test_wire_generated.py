"""The committed code is what the .proto file gives."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "dercp" / "wire" / "v1"


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the compilers at hand write it now."""
    for tool in ("grpc_tools", "betterproto2_compiler", "ruff"):
        pytest.importorskip(tool, reason=f"{tool} is missing: pip install -e '.[dev]'")
    directory = tmp_path_factory.mktemp("v1")
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), str(directory)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own script
    return directory


def meaning(module: Path) -> str:
    """The code of a module, whatever tool versions laid it out."""
    tree = ast.parse(module.read_text())
    tree.body = [node for node in tree.body if not _names_the_compiler(node)]
    return ast.dump(tree)


def _names_the_compiler(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_COMPILER_VERSION"


def declarations(stub: Path) -> dict[str, list[str]]:
    """The classes of a stub and what each declares; protoc's versions spell types differently."""
    return {
        node.name: [
            ast.unparse(part.target) for part in node.body if isinstance(part, ast.AnnAssign)
        ]
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


@pytest.mark.parametrize("name", ["__init__.py", "edge_link_pb2.py", "message_pool.py"])
def test_the_committed_code_is_generated_from_the_contract(regenerated: Path, name: str) -> None:
    """Run `python proto/generate.py` after a change in proto/."""
    assert meaning(COMMITTED / name) == meaning(regenerated / name)


def test_the_committed_stub_is_generated_from_the_contract(regenerated: Path) -> None:
    """Run `python proto/generate.py` after a change in proto/."""
    name = "edge_link_pb2.pyi"
    assert declarations(COMMITTED / name) == declarations(regenerated / name)


def test_the_committed_code_needs_no_compiler() -> None:
    """A site PC imports the wire without any of the `dev` extra."""
    code = (
        "import sys, dercp.wire.envelope, dercp.wire.payload;"
        "assert not {'grpc_tools', 'betterproto2_compiler', 'grpc'} & set(sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603 - our own code
