"""A test's hand on a double that runs in another process: its wishes below /control."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.business_central.books import Account
from tests.business_central.fault import Fault
from tests.business_central.refusal import not_found

if TYPE_CHECKING:
    from tests.business_central.double import BusinessCentralDouble

PATH: Final = "/control/"
Wish = Callable[["BusinessCentralDouble", Mapping[str, Any]], object]


def fulfilled(double: "BusinessCentralDouble", name: str, body: Mapping[str, Any]) -> object:
    """What a wish is answered; every one is a POST with an object."""
    if name not in _WISHES:
        raise not_found(f"There is no wish {name}; there are {', '.join(_WISHES)}.")
    return _WISHES[name](double, body)


def _state(double: "BusinessCentralDouble", _: Mapping[str, Any]) -> object:
    """Everything that a judge needs: what lies in which journal, and what is in the ledger."""
    return {
        "settings": double.settings(""),
        "journals": {
            row["code"]: list(double.books.lines_in(row["id"]))
            for row in double.books.journals.values()
        },
        "dimensions": {
            line: {row["code"]: row["valueCode"] for row in held.values()}
            for line, held in double.books.dimension_sets.items()
        },
        "entries": double.books.entries,
        "late": len(double.late),
        "peak": double.peak,
        "requests": len(double.seen),
    }


def _journals(double: "BusinessCentralDouble", _: Mapping[str, Any]) -> object:
    """How many lines each journal has: less than the whole state, for whoever looks often."""
    return {
        row["code"]: len(list(double.books.lines_in(row["id"])))
        for row in double.books.journals.values()
    }


def _misbehave(double: "BusinessCentralDouble", body: Mapping[str, Any]) -> object:
    for fault in body["faults"]:
        double.misbehave(Fault(**{**fault, "seconds": float(fault.get("seconds", 0))}))
    return {}


def _heal(double: "BusinessCentralDouble", _: Mapping[str, Any]) -> object:
    double.heal()
    return {}


def _release(double: "BusinessCentralDouble", _: Mapping[str, Any]) -> object:
    return {"released": len(double.release())}


def _post(double: "BusinessCentralDouble", body: Mapping[str, Any]) -> object:
    return {"entries": double.post(body["code"])}


def _set_up(double: "BusinessCentralDouble", body: Mapping[str, Any]) -> object:
    """Accounts as [type, number, name], dimensions as lists of values, and switches."""
    for kind, number, name in body.get("accounts", []):
        double.books.accounts[kind, number] = Account(name, kind)
    for code, values in body.get("dimensions", {}).items():
        double.books.dimensions.setdefault(code, set()).update(values)
    for switch in ("undoes_batches", "undoes_after_malformed", "hidden_by_id", "page_size"):
        if switch in body:
            setattr(double.service, switch, body[switch])
    return {}


def _forget(double: "BusinessCentralDouble", _: Mapping[str, Any]) -> object:
    """The requests so far, which a long campaign would pile up."""
    double.seen.clear()
    return {}


_WISHES: Final[Mapping[str, Wish]] = {
    "state": _state,
    "journals": _journals,
    "misbehave": _misbehave,
    "heal": _heal,
    "release": _release,
    "post": _post,
    "set-up": _set_up,
    "forget": _forget,
}
