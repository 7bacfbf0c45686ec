"""Molecules from SMILES, read with RDKit: atoms are nodes, bonds are edges, hydrogens belong to atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmagent.errors import MissingPackageError, UserError
from mmagent_graph.graph import Graph, made

__all__ = ["LONGEST", "molecule", "of_atoms", "read_smiles"]

LONGEST = 20_000  # characters of one molecule; RDKit's time grows faster than its length
NEEDS_RDKIT = (
    "SMILES are read with RDKit, which is not installed. pip install 'mmagent[graph]', or give the molecule "
    'as JSON: {"atoms": ["C", "O"], "bonds": [{"begin": 0, "end": 1, "order": "single"}]}.'
)


def read_smiles(text: str, name: str) -> Graph:
    """The molecule in the content of a .smi file: SMILES, and perhaps a name after it, on one line.

    Raises `UserError` for several molecules, and as `molecule` does.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UserError(f"{name} holds no SMILES. Write one molecule into it, such as CCO.")
    if len(lines) > 1:
        raise UserError(
            f"{name} holds {len(lines):,} molecules, and one input is one graph. Give each its own file, or "
            "join parts of one by a dot: CCO.O."
        )
    return molecule(lines[0].split()[0], name)


def molecule(smiles: str, name: str = "the molecule") -> Graph:
    """A molecule as a graph. Raises `UserError` for malformed SMILES, and without RDKit."""
    if len(smiles) > LONGEST:
        raise UserError(
            f"{_told(smiles, name)} has {len(smiles):,} characters; at most {LONGEST:,} are read."
        )
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise MissingPackageError(NEEDS_RDKIT) from error
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles, sanitize=False)
        if found is None:
            raise UserError(
                f"{_told(smiles, name)} is not SMILES: {_fault(smiles)}. Write it like CCO or c1ccccc1."
            )
        try:
            Chem.SanitizeMol(found)
            found = Chem.RemoveHs(found)
        except ValueError as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"{_told(smiles, name)} is no molecule that can be: {said}. Mend it.") from error
    atoms = list(found.GetAtoms())
    bonds = [
        {"begin": one.GetBeginAtomIdx(), "end": one.GetEndAtomIdx(), "order": one.GetBondType().name.lower()}
        for one in found.GetBonds()
    ]
    return of_atoms(
        [atom.GetSymbol() for atom in atoms],
        bonds,
        charges=[atom.GetFormalCharge() for atom in atoms],
        hydrogens=[atom.GetTotalNumHs() for atom in atoms],
        name=name,
        origin="SMILES",
    )


def of_atoms(
    atoms: Sequence[Any],
    bonds: Sequence[Any],
    *,
    charges: Sequence[Any] | None = None,
    hydrogens: Sequence[Any] | None = None,
    name: str,
    origin: str = "atoms and bonds",
) -> Graph:
    """A molecule from its atoms' elements and its bonds {"begin", "end", "order"}. Raises `UserError`."""
    nodes: dict[str, Sequence[Any]] = {"element": [None if atom is None else str(atom) for atom in atoms]}
    for what, values in (("charge", charges), ("hydrogens", hydrogens)):
        if values is not None:
            if len(values) != len(atoms):
                raise UserError(f"{name} has {len(atoms)} atoms and {len(values)} {what}. Give one for each.")
            nodes[what] = [None if value is None else int(value) for value in values]
    ends, orders = [], []
    for at, bond in enumerate(bonds, start=1):
        one = bond if isinstance(bond, Mapping) else dict(zip(("begin", "end", "order"), bond, strict=False))
        try:
            ends.append((int(one["begin"]), int(one["end"])))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{name}: bond {at} is {bond!r:.80}; write {{"begin": 0, "end": 1, "order": "single"}}.'
            ) from error
        orders.append(one.get("order"))
    return made(name, origin, len(atoms), ends, nodes=nodes, edges={"label": orders})


def _told(smiles: str, name: str) -> str:
    shown = smiles if len(smiles) <= 60 else f"{smiles[:57]}..."
    return f"{shown!r}" if name == "the molecule" else f"{name} ({shown!r})"


def _fault(smiles: str) -> str:
    """What is wrong, as far as brackets and rings tell."""
    for opens, closes, what in (("(", ")", "branches"), ("[", "]", "brackets")):
        if smiles.count(opens) != smiles.count(closes):
            return f"its {what} {opens}{closes} do not match"
    import re

    plain = re.sub(r"\[[^\]]*\]", "", smiles)
    rings = re.findall(r"%\d\d|\d", plain)
    loose = sorted({ring for ring in rings if rings.count(ring) % 2})
    if loose:
        return f"the ring {loose[0]} is opened and not closed"
    return "it has a character or an element that SMILES has not, or a bond that leads nowhere"
