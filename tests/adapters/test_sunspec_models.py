"""Finding the models of a device, and reading numbers out of them."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from modbus_field import PlainBank
from sunspec2.device import Model as PeerModel  # type: ignore[import-untyped]  # it has no types
from sunspec_field import (
    END,
    MARK,
    MemoryClient,
    Points,
    chain_bank,
    chain_of,
    chain_registers,
    models_of,
)

from adapters import DeviceError
from adapters.modbus._spans import Image, Refusal, Span, Table
from adapters.sunspec._layout import layout_of
from adapters.sunspec._model import Model, Place, RefusedError

SMALL: Mapping[int, Points] = {1: {"Mn": "Acme"}, 713: {"SoC": 523, "Pct_SF": -1}}


@pytest.mark.parametrize("base", [0, 40000, 50000])
async def test_the_chain_is_found_at_each_usual_address(base: int) -> None:
    """Its models in order, each at its place."""
    chain = await chain_of(chain_bank(SMALL, base=base), (40000, 0, 50000))
    assert [(place.model_id, place.address - base, place.length) for place in chain] == [
        (1, 2, 66),
        (713, 70, 7),
    ]


async def test_an_end_without_a_length_is_an_end() -> None:
    """Some devices have no register behind the end model's id."""
    assert len(await chain_of(chain_bank(SMALL, end=(0xFFFF,)))) == 2


async def test_models_of_a_vendor_are_passed_over() -> None:
    """What SunSpec does not define may stand between what it does."""
    registers = chain_registers(SMALL)
    registers[-2:-2] = [64_999, 3, 1, 2, 3, 713, 0]
    chain = await chain_of(PlainBank(holding=dict(enumerate(registers, 40000))))
    assert [place.model_id for place in chain] == [1, 713, 713]


async def test_what_is_no_sunspec_device_is_told_with_what_stands_there() -> None:
    """So that a wrong base address, or a swapped word order, is seen."""
    with pytest.raises(DeviceError) as caught:
        await chain_of(PlainBank(holding={0: 0x6E53, 1: 0x5375}), (40000, 0))
    assert str(caught.value) == (
        'no SunSpec device: "SunS" does not stand at 40000 (exception 2, illegal data address), '
        "0 (0x6e53 0x5375)"
    )


@pytest.mark.parametrize("after", [[], [7, 1, 0] * 2, [0, 0] * 200])
async def test_a_chain_without_an_end_is_refused(after: list[int]) -> None:
    """It breaks off, or goes on for ever."""
    bank = PlainBank(holding=dict(enumerate([*MARK, *after], 40000)))
    with pytest.raises(DeviceError, match=r"breaks off at register|has no end"):
        await chain_of(bank)


def test_layouts_are_those_of_pysunspec2() -> None:
    """Every point of every model that we map stands where the peer puts it."""
    for model_id in (1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160,
                     302, 303, 307, 701, 702, 704, 713, 714, 715, 802, 803):  # fmt: skip
        layout = layout_of(model_id)
        assert layout is not None
        for name, point in PeerModel(model_id, data={"NPrt": 0, "NStr": 0}).points.items():
            field = layout.fields[name]
            assert (field.offset, field.size) == (point.offset, point.len)


def test_a_model_file_in_the_working_directory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pysunspec2's own loader would believe it."""
    (tmp_path / "model_713.json").write_text('{"group": {"name": "forged", "points": []}}')
    monkeypatch.chdir(tmp_path)
    layout_of.cache_clear()
    layout = layout_of(713)
    assert layout is not None
    assert "SoC" in layout.fields
    assert layout_of(64_999) is None


async def test_numbers_are_scaled_and_what_is_not_implemented_is_none() -> None:
    """523 and -1 give 52.3; 0x8000, 0xFFFF and NaN give nothing, never 0."""
    bank = chain_bank(
        {
            111: {"W": 1234.5, "Hz": math.nan},
            701: {"W": -2500, "W_SF": 1, "Hz": 49_987, "Hz_SF": -3},
            713: {"SoC": 523, "Pct_SF": -1},
        }
    )
    models = await models_of(bank)
    assert models[713].number("SoC") == 52.3
    assert models[701].number("W") == -25_000.0
    assert models[701].number("Hz") == 49.987
    assert models[111].number("W") == pytest.approx(1234.5)
    absent = [(111, "Hz"), (701, "Var"), (701, "TotWhInj"), (713, "SoH"), (713, "nothing")]
    assert [models[model_id].number(name) for model_id, name in absent] == [None] * 5


@pytest.mark.parametrize("scale", [11, -11, None])
async def test_a_scale_that_cannot_be_makes_the_number_nonsense(scale: int | None) -> None:
    """There is a number, but nobody can tell which."""
    models = await models_of(chain_bank({713: {"SoC": 523, "Pct_SF": scale}}))
    assert models[713].number("SoC") == math.inf
    with pytest.raises(DeviceError, match="SoC cannot be written, its scale factor"):
        models[713].write("SoC", 1.0)


async def test_repeated_groups_and_texts() -> None:
    """The inputs of model 160, and who made it."""
    bank = chain_bank(
        {
            1: {"Mn": "Acme", "Md": "X1"},
            160: {"DCW_SF": 1, "module": [{"DCW": 100}, {"DCW": None}, {"DCW": 50}]},
        }
    )
    models = await models_of(bank)
    assert models[160].group_numbers("DCW") == [1000.0, 500.0]
    assert [models[1].text(name) for name in ("Mn", "Md", "SN")] == ["Acme", "X1", ""]


async def test_a_model_that_ends_early_lacks_the_rest() -> None:
    """Its length counts, whatever the definition says."""
    layout = layout_of(713)
    assert layout is not None
    place = Place(layout, 40002, 1)
    span = Span(Table.HOLDING, 40002, 9)
    model = Model(place, await MemoryClient(chain_bank({713: {"WHRtg": 5}})).read([span]))
    assert model.number("SoC") is None


async def test_a_number_is_written_as_the_peer_would() -> None:
    """Scaled, rounded, in as many registers as it takes."""
    models = await models_of(chain_bank({704: {"WSet": 0, "WSet_SF": 2}}))
    write = models[704].write("WSet", -1_234_500.0)
    peer = PeerModel(704, data={"WSet_SF": 2})
    peer.points["WSet"].cvalue = -1_234_500.0
    assert struct.pack(">2H", *write.registers) == peer.points["WSet"].get_mb()
    assert write.start == 40002 + peer.points["WSet"].offset
    assert models[704].write("WSet", 199.0).registers == (0, 1)  # never more than was asked
    for impossible in (1e12, -(2.0**31) * 100):  # too great; the mark of "not implemented"
        with pytest.raises(DeviceError, match="WSet cannot hold"):
            models[704].write("WSet", impossible)
    with pytest.raises(DeviceError, match="has no Nonsense here"):
        models[704].write("Nonsense", 0.0)


async def test_a_model_that_was_refused_says_so() -> None:
    """It is neither absent nor another one."""
    layout = layout_of(713)
    assert layout is not None
    model = Model(Place(layout, 40002, 7), Image([Span(Table.HOLDING, 40002, 9)], [Refusal(2)]))
    model.check_header()
    with pytest.raises(RefusedError):
        model.number("SoC")


async def test_a_header_that_has_changed_is_another_device() -> None:
    """Or one that garbles its registers."""
    registers = chain_registers({713: {"SoC": 1, "Pct_SF": 0}})
    bank = PlainBank(holding=dict(enumerate(registers, 40000)))
    (place,) = await chain_of(bank)
    bank.tables["holding"][40002] = 0xC902
    model = Model(place, await MemoryClient(bank).read([Span(Table.HOLDING, 40002, 9)]))
    with pytest.raises(DeviceError, match="model 713 of length 7 is no longer at register 40002"):
        model.check_header()


def test_the_end_is_as_the_specification_says() -> None:
    """The peer's images end like a device's."""
    assert tuple(chain_registers({})) == (*MARK, *END)
