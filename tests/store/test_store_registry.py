"""The contract of Registry."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
import trio

from dercp.store import AgentRecord, RegistrationRecord, SiteRecord, Store

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]

SITE = SiteRecord(tenant_id="default", site_id="alpha", name="Alpha Ridge")
SCHEMA = RegistrationRecord(registration_id=b"\x01" * 16, content=b"\x00schema", first_seen_us=10)
AGENT = AgentRecord(
    tenant_id="default",
    agent_id="alpha-gw",
    site_id="alpha",
    epoch=0,
    registration_id=SCHEMA.registration_id,
    software_version="0.1.0",
    spool_id="spool-1",
    first_seen_us=10,
    last_seen_us=10,
)


async def test_a_new_store_knows_nobody(open_store: OpenStore) -> None:
    """There is nothing to load before the first handshake."""
    async with open_store() as store:
        contents = await store.registry.load()
        assert (contents.sites, contents.agents, contents.registrations) == ((), (), ())
        assert contents.owners == {}


async def test_a_handshake_is_there_after_reopening(open_store: OpenStore) -> None:
    """Agent, site, schema and owned assets are durable when the epoch is known."""
    async with open_store() as store:
        assert await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["b", "a"]) == 1
    async with open_store() as store:
        contents = await store.registry.load()
    assert contents.sites == (SITE,)
    assert contents.agents == (msgspec.structs.replace(AGENT, epoch=1),)
    assert contents.registrations == (SCHEMA,)
    assert contents.owners == {"a": "alpha-gw", "b": "alpha-gw"}


async def test_epochs_count_up_across_restarts(open_store: OpenStore) -> None:
    """A restarted headend never gives an epoch twice."""
    epochs = []
    for _ in range(3):
        async with open_store() as store:
            epochs += [
                await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=[]) for _ in range(2)
            ]
    assert epochs == [1, 2, 3, 4, 5, 6]


async def test_handshakes_at_once_get_different_epochs(open_store: OpenStore) -> None:
    """Two agents with one id cannot both be the newest."""
    epochs: list[int] = []

    async def register(store: Store) -> None:
        epochs.append(await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["a"]))

    async with open_store() as store, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(register, store)
    assert sorted(epochs) == list(range(1, 51))


async def test_a_later_handshake_describes_the_agent_anew(open_store: OpenStore) -> None:
    """The newest description stands; the first time it was seen stays."""
    later = msgspec.structs.replace(
        AGENT, software_version="0.2.0", spool_id="spool-2", first_seen_us=99, last_seen_us=99
    )
    renamed = msgspec.structs.replace(SITE, name="Alpha")
    async with open_store() as store:
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["a"])
        await store.registry.register(later, renamed, SCHEMA, asset_ids=["a"])
        contents = await store.registry.load()
    assert contents.agents == (msgspec.structs.replace(later, epoch=2, first_seen_us=10),)
    assert contents.sites == (renamed,)


async def test_an_agent_owns_exactly_what_it_last_named(open_store: OpenStore) -> None:
    """Assets it dropped are free, assets of another have moved."""
    other = msgspec.structs.replace(AGENT, agent_id="alpha-gw-2")
    async with open_store() as store:
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["a", "b", "c"])
        await store.registry.register(other, SITE, SCHEMA, asset_ids=["c", "d"])
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["b", "e"])
        contents = await store.registry.load()
    assert contents.owners == {
        "b": "alpha-gw",
        "c": "alpha-gw-2",
        "d": "alpha-gw-2",
        "e": "alpha-gw",
    }


async def test_an_old_schema_is_found_but_not_loaded(open_store: OpenStore) -> None:
    """A backlog written under last week's registration still decodes."""
    newer = RegistrationRecord(registration_id=b"\x02" * 16, content=b"other", first_seen_us=20)
    changed = msgspec.structs.replace(AGENT, registration_id=newer.registration_id)
    async with open_store() as store:
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=[])
        await store.registry.register(changed, SITE, newer, asset_ids=[])
        assert (await store.registry.load()).registrations == (newer,)
        assert await store.registry.find_registration(SCHEMA.registration_id) == SCHEMA
        assert await store.registry.find_registration(b"\x03" * 16) is None


async def test_a_schema_that_was_never_in_force_is_remembered(open_store: OpenStore) -> None:
    """It is found and not loaded; one that is known stands as it was."""
    earlier = RegistrationRecord(registration_id=b"\x02" * 16, content=b"other", first_seen_us=20)
    async with open_store() as store:
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=[])
        await store.registry.remember(earlier)
        for known in (earlier, SCHEMA):
            later = msgspec.structs.replace(known, first_seen_us=99)
            await store.registry.remember(later)
            assert await store.registry.find_registration(known.registration_id) == known
        assert (await store.registry.load()).registrations == (SCHEMA,)


@pytest.mark.parametrize(
    "agent",
    [
        msgspec.structs.replace(AGENT, registration_id=b"\x09" * 16),
        msgspec.structs.replace(AGENT, site_id="beta"),
        msgspec.structs.replace(AGENT, tenant_id="another"),
    ],
)
async def test_a_handshake_that_contradicts_itself_is_refused(
    open_store: OpenStore, agent: AgentRecord
) -> None:
    """The agent must name the site and registration that come with it."""
    async with open_store() as store:
        with pytest.raises(ValueError, match="names another"):
            await store.registry.register(agent, SITE, SCHEMA, asset_ids=[])
        assert (await store.registry.load()).agents == ()


async def test_tenants_do_not_see_each_other(open_store: OpenStore) -> None:
    """The same ids under another tenant are other agents and assets."""
    theirs = msgspec.structs.replace(AGENT, tenant_id="other", software_version="9")
    their_site = msgspec.structs.replace(SITE, tenant_id="other", name="Theirs")
    async with open_store() as store:
        await store.registry.register(AGENT, SITE, SCHEMA, asset_ids=["a"])
        assert await store.registry.register(theirs, their_site, SCHEMA, asset_ids=["z"]) == 1
        assert (await store.registry.load()).owners == {"a": "alpha-gw"}
        contents = await store.registry.load(tenant_id="other")
    assert contents.sites == (their_site,)
    assert contents.owners == {"z": "alpha-gw"}
