"""Drives the Admin API with aio-kong, and checks what the client makes of the answers.

Usage: drive.py entities|configuration|clear URL FOLDER [TOKEN]

FOLDER has certificates and their keys (a.pem, a.key, b.pem, b.key), and gets what the plugins write.
"""

import asyncio
import sys
import uuid
from pathlib import Path

from aiohttp import ClientSession
from kong.client import Kong, KongResponseError
from kong.components import CrudComponent, KongEntity
from kong.plugins import KongEntityWithPlugins

# So many that a list has several pages.
MANY = 25
PAGE = 10


def same(found, expected):
    """Fails unless `found` has every member of `expected`."""
    for name, value in expected.items():
        assert found[name] == value, f"{name}: {found[name]!r} and not {value!r} in {found}"


async def refused(status, message, request):
    """Expects that `request` is refused with a status and with a text in the message."""
    try:
        answer = await request
    except KongResponseError as error:
        assert error.status == status, f"{error.status} and not {status}: {error}"
        assert message in error.message["message"], str(error)
    else:
        raise AssertionError(f"{status} is expected: {answer}")


async def lifecycle(component, key, many, changes):
    """Creates entities, reads, lists, changes and deletes them. `key` is their second key, if they have one."""
    created = [await component.create(**body) for body in many]
    for entity, body in zip(created, many):
        same(entity, body)
        assert uuid.UUID(entity.id) and entity["created_at"] <= entity["updated_at"], entity
    first = created[0]
    assert (await component.get(first.id)).data == first.data
    if key:
        assert (await component.get(first[key])).data == first.data
        assert await component.has(first[key])
        await refused(409, "UNIQUE violation detected", component.create(**many[0]))
    ids = sorted(entity.id for entity in created)
    page = await component.get_list(size=PAGE)
    assert [entity.id for entity in page] == ids[:PAGE], "the first page"
    pages = [entity.id async for entity in component.paginate(size=PAGE)]
    assert pages == ids, f"the pages: {len(pages)} of {len(ids)}"
    assert [entity.id for entity in await component.get_full_list(tags="odd", size=2)] == sorted(
        entity.id for entity in created if "odd" in entity["tags"]
    )
    changed = await component.update(first.id, **changes)
    same(changed, changes)
    same(await component.get(first.id), changes)
    kept = set(first) - set(changes) - {"updated_at"}
    same(changed, {name: first[name] for name in kept})
    absent = str(uuid.uuid4())
    await refused(404, "could not find the entity", component.update(absent, **changes))
    await refused(404, "Not found", component.get(absent))
    assert not await component.has(absent)
    assert await component.delete(created[-1].id)
    assert await component.execute(f"{component.url}/{created[-1].id}", "delete"), "it is deleted already"
    assert await component.delete_all() == len(many) - 1
    assert await component.get_full_list() == []


def tags(at):
    return ["all", "odd" if at % 2 else "even"]


async def services(kong):
    def body(at):
        return {"name": f"service-{at}", "host": f"host-{at}.test", "path": f"/{at}", "tags": tags(at)}

    await lifecycle(kong.services, "name", [body(at) for at in range(MANY)], {"port": 8443, "protocol": "https"})
    url = await kong.services.create(name="url", url="https://example.test/base")
    same(url, {"protocol": "https", "host": "example.test", "port": 443, "path": "/base", "retries": 5})
    assert (url.name, url.host, url.protocol) == ("url", "example.test", "https")
    await refused(400, "schema violation (host: required field missing)", kong.services.create(name="none"))
    await refused(400, "schema violation (port: value should be", kong.services.update("url", port=70000))
    await kong.services.delete("url")


async def routes(kong):
    service = await kong.services.create(name="parent", host="parent.test")

    def body(at):
        return {"name": f"route-{at}", "paths": [f"/{at}"], "methods": ["GET", "POST"], "tags": tags(at)}

    changes = {"hosts": ["a.test", "*.b.test"], "headers": {"x-a": ["1"]}, "strip_path": False, "methods": None}
    await lifecycle(kong.routes, "name", [body(at) for at in range(MANY)], changes)
    # Below the service, lists have no filter of tags.
    below = [await service.routes.create(**body(at)) for at in range(MANY)]
    assert all(route["service"] == {"id": service.id} for route in below), below[0]
    assert [route.id async for route in service.routes.paginate(size=PAGE)] == sorted(route.id for route in below)
    await refused(400, "must set one of 'methods', 'hosts'", service.routes.create(name="nothing"))
    await refused(400, "does not reference an existing", kong.routes.create(paths=["/"], service={"id": str(uuid.uuid4())}))
    await refused(400, "an existing 'routes' entity references", kong.cli.execute(service.url, "delete"))
    assert await kong.services.delete(service.id), "aio-kong deletes its routes first"
    assert await kong.routes.get_full_list() == []


async def consumers(kong):
    def body(at):
        return {"username": f"consumer-{at}", "custom_id": f"custom {at}", "tags": tags(at)}

    await lifecycle(kong.consumers, "username", [body(at) for at in range(MANY)], {"custom_id": "J\u00fcrgen"})
    await kong.consumers.create(username="a", custom_id="1")
    assert [one.username for one in await kong.consumers.get_list(custom_id="1")] == ["a"]
    assert await kong.consumers.get_list(custom_id="2") == []
    await refused(400, "at least one of these fields must be non-empty: 'custom_id', 'username'", kong.consumers.create())
    await acls(kong, await kong.consumers.get("a"))
    await kong.consumers.delete("a")
    assert await kong.acls.get_full_list() == []


async def acls(kong, consumer):
    one = await consumer.acls.create(group="one")
    same(one, {"group": "one", "consumer": {"id": consumer.id}, "tags": None})
    await refused(409, "UNIQUE violation detected", consumer.acls.create(group="one"))
    await consumer.acls.create(group="two")
    assert sorted(acl["group"] for acl in await kong.acls.get_full_list()) == ["one", "two"]
    same(await consumer.acls.get(one.id), {"group": "one"})
    await kong.acls.delete(one.id)
    assert [acl["group"] for acl in await consumer.acls.get_list()] == ["two"]


class ConsumerGroups(CrudComponent):
    """aio-kong has none: a group that is read is in an answer with its consumers."""

    def wrap(self, data):
        return super().wrap(data.get("consumer_group", data))


async def consumer_groups(kong):
    groups = ConsumerGroups(kong, KongEntityWithPlugins, "consumer_groups")
    many = [{"name": f"group-{at}", "tags": tags(at)} for at in range(MANY)]
    await lifecycle(groups, "name", many, {"tags": ["changed"]})
    group = await groups.create(name="gold")
    members = CrudComponent(group, KongEntity, "consumers")
    names = [f"member-{at}" for at in range(3)]
    for name in names:
        await kong.consumers.create(username=name)
        await members.create(consumer=name)
    found = sorted(member["username"] for member in await members.get_list())
    assert found == names, found
    # The path of one member, as Kong Gateway has it.
    await kong.execute(f"{members.list_create_url()}/{names[0]}", "delete")
    of_consumer = CrudComponent(await kong.consumers.get(names[1]), KongEntity, "consumer_groups")
    assert [one.name for one in await of_consumer.get_list()] == ["gold"]
    assert len(await members.get_list()) == 2
    await groups.delete("gold")
    assert len(await kong.consumers.get_full_list()) == 3, "consumers outlive their group"
    await kong.consumers.delete_all()


async def plugins(kong, folder):
    service = await kong.services.create(name="of-plugins", host="a.test")
    route = await service.routes.create(name="of-plugins", paths=["/"])
    consumer = await kong.consumers.create(username="of-plugins")
    group = await CrudComponent(kong, KongEntityWithPlugins, "consumer_groups").create(name="of-plugins")
    configs = {
        "file-log": {"path": str(folder / "unused")},
        "tcp-log": {"host": "127.0.0.1", "port": 9999},
        "udp-log": {"host": "127.0.0.1", "port": 9999},
        "http-log": {"http_endpoint": "http://127.0.0.1:9999/", "headers": {"x-a": "1"}},
        "loggly": {"key": "a-key"},
        "syslog": {"log_level": "notice"},
        "statsd": {"prefix": "here"},
        "kafka-log": {"bootstrap_servers": [{"host": "127.0.0.1", "port": 9092}], "topic": "log"},
    }
    scopes = [(kong, None), (service, "service"), (route, "route"), (consumer, "consumer"), (group, "consumer_group")]
    created = []
    for parent, field in scopes:
        for name, config in configs.items():
            body = {"name": name, "config": config, "tags": [name]}
            if field == "consumer_group" and name == "kafka-log":
                await refused(400, "consumer_group: value must be null", parent.plugins.create(**body))
                continue
            plugin = await parent.plugins.create(**body)
            same(plugin["config"], config)
            assert plugin.name == name and plugin["enabled"] is True, plugin
            assert field is None or plugin[field] == {"id": parent.id}, plugin
            created.append(plugin)
    ids = sorted(plugin.id for plugin in created)
    assert [plugin.id async for plugin in kong.plugins.paginate(size=PAGE)] == ids
    assert [plugin.id async for plugin in service.plugins.paginate(size=3)] == sorted(
        plugin.id for plugin in created if plugin["service"]
    )
    assert len(await kong.plugins.get_full_list(tags="file-log")) == 5
    await refused(409, "UNIQUE violation detected", kong.plugins.create(name="syslog"))
    await refused(400, "not enabled; add it to the 'plugins' configuration property", kong.plugins.create(name="none"))
    await refused(400, "(config.http_endpoint: required field missing)", route.plugins.create(name="http-log"))
    http_log = next(plugin for plugin in created if plugin.name == "http-log")
    changed = await kong.plugins.update(http_log.id, config={"queue": {"max_batch_size": 7}}, enabled=False)
    queue = {**http_log["config"]["queue"], "max_batch_size": 7}
    assert changed["config"] == {**http_log["config"], "queue": queue} and changed["enabled"] is False, changed
    await kong.services.delete(service.id)
    await kong.consumers.delete(consumer.id)
    left = {plugin.id for plugin in await kong.plugins.get_full_list()}
    kept = [plugin.id for plugin in created if not any(plugin[name] for name in ("service", "route", "consumer"))]
    assert left == set(kept), "plugins go with their service, route and consumer"
    await kong.execute(f"{kong.url}/consumer_groups/of-plugins", "delete")
    assert await kong.plugins.delete_all() == len(configs), "plugins go with their consumer group"


async def certificates(kong, folder):
    def pair(name):
        return {"cert": (folder / f"{name}.pem").read_text(), "key": (folder / f"{name}.key").read_text()}

    created = [await kong.certificates.create(cert=pair("a")["cert"], key=pair("a")["key"]) for _ in range(MANY)]
    assert [one.id async for one in kong.certificates.paginate(size=PAGE)] == sorted(one.id for one in created)
    one = created[0]
    same(one, {**pair("a"), "snis": []})
    sni = await one.snis.create(name="a.test")
    same(sni, {"name": "a.test", "certificate": {"id": one.id}})
    assert (await kong.certificates.get("a.test")).id == one.id
    same(await kong.snis.get("a.test"), {"id": sni.id})
    applied = await kong.snis.apply_json([{"name": "a.test", "tags": ["x"], "certificate": {"id": one.id}}])
    same(applied[0], {"id": sni.id, "tags": ["x"]})
    same(await kong.certificates.update(one.id, **pair("b")), {"cert": pair("b")["cert"], "snis": ["a.test"]})
    await refused(400, "(cert: invalid certificate", kong.certificates.create(**{**pair("a"), "cert": "none"}))
    mixed = {"cert": pair("a")["cert"], "key": pair("b")["key"]}
    await refused(400, "certificate does not match key", kong.certificates.create(**mixed))
    assert await kong.certificates.delete_all() == MANY
    assert await kong.snis.get_full_list() == [], "SNIs go with their certificate"


async def entities(kong, folder):
    await services(kong)
    await routes(kong)
    await consumers(kong)
    await consumer_groups(kong)
    await plugins(kong, folder)
    await certificates(kong, folder)


def whole(folder):
    log = {"name": "file-log", "config": {"path": str(folder / "service")}}
    return {
        "services": [
            {
                "name": "orders-svc",
                "host": "orders.internal",
                "port": 8080,
                "plugins": [log],
                "routes": [{"name": "orders", "paths": ["/orders"], "methods": "GET", "plugins": []}],
            },
            {"name": "gone", "ensure": "absent"},
        ],
        "plugins": [{"name": "file-log", "config": {"path": str(folder / "all")}}],
        "consumers": [{"username": "alice", "custom_id": "1", "groups": ["gold", "silver"], "auths": []}],
    }


async def configuration(kong, folder):
    """Applies a whole configuration, over one with things that have to go, twice."""
    gone = await kong.services.create(name="gone", host="gone.test")
    await gone.routes.create(paths=["/gone"])
    await kong.plugins.create(name="syslog")
    await kong.consumers.create(username="alice", custom_id="2")
    before = None
    for _ in range(2):
        applied = await kong.apply_json(whole(folder))
        names = sorted(service.name for service in await kong.services.get_full_list())
        assert names == ["orders-svc"], names
        same(applied["services"][0], {"host": "orders.internal", "port": 8080})
        same(applied["services"][0]["routes"][0], {"name": "orders", "methods": ["GET"]})
        assert sorted(plugin["config"]["path"] for plugin in await kong.plugins.get_full_list()) == sorted(
            [str(folder / "all"), str(folder / "service")]
        )
        alice = await kong.consumers.get("alice")
        same(alice, {"custom_id": "1"})
        assert sorted(acl["group"] for acl in await alice.acls.get_list()) == ["gold", "silver"]
        ids = [plugin["id"] for plugin in applied["plugins"]], applied["services"][0].id, alice.id
        assert before in (None, ids), "another application makes the same entities anew"
        before = ids


async def clear(kong, _):
    await kong.delete_all()
    for component in (kong.services, kong.routes, kong.plugins, kong.consumers, kong.certificates, kong.acls):
        assert await component.get_full_list() == [], component.name


async def main():
    step, url, folder, *token = sys.argv[1:]
    headers = {"Kong-Admin-Token": token[0]} if token else {}
    steps = {"entities": entities, "configuration": configuration, "clear": clear}
    async with Kong(url, session=ClientSession(headers=headers)) as kong:
        await steps[step](kong, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
